"""`sandbox contracts`: hold providers, mocks or real ones, and consumers to their contract."""

from __future__ import annotations

import importlib

import click

from sandbox.cli.options import example

DEFAULT = "check"
# Command -> module of this package that defines it under the same name.
COMMANDS = {"check": "check", "usage": "usage", "diff": "diff"}


class Contracts(click.Group):
    """A group whose first command need not be named: `sandbox contracts shop` is `sandbox contracts check shop`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in {*COMMANDS, "--help"}:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"sandbox.cli.{COMMANDS[cmd_name]}"), cmd_name)
        return command


@click.group(
    cls=Contracts,
    epilog=example(
        "sandbox contracts",
        "sandbox contracts shop -k idempotency -x",
        "sandbox contracts shop --base-url shop=https://staging.example.com/api",
        "sandbox contracts usage",
        "sandbox contracts diff specs/shop.yaml shop-next.yaml",
    ),
)
def contracts() -> None:
    """Hold providers and consumers to their contract; without a command, `check`.

    Exit codes: 0 kept, 1 broken, 2 usage, 3 inconclusive.
    """
