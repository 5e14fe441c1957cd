"""The command line. Each command lives in a module of its own, imported when it is asked for."""

from __future__ import annotations

import difflib
import importlib
import io
import sys

import click

from sandbox.cli import output
from sandbox.cli.options import example
from sandbox.errors import SandboxError

# Command -> module of this package that defines it under the same name; in the order in which a newcomer needs them.
COMMANDS = {
    "demo": "demo",
    "init": "init",
    "up": "up",
    "env": "env",
    "order": "order",
    "journal": "journal",
    "state": "state",
    "fault": "fault",
    "record": "record",
    "doctor": "doctor",
    "chaos": "chaos",
    "contracts": "contracts",
    "integrator": "integrator",
    "specs": "specs",
    "completion": "completion",
}

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class Commands(click.Group):
    """A group that imports a command only when it is used, so that `sandbox env` need not wait for a web server."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            for near in difflib.get_close_matches(cmd_name, COMMANDS, n=1):
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {near!r}?")
            return None
        command = getattr(importlib.import_module(f"sandbox.cli.{COMMANDS[cmd_name]}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above and its modules are one thing
        return command


@click.group(cls=Commands, epilog=example("sandbox demo", "sandbox up", "sandbox order"))
@click.version_option(package_name="integration-sandbox", message="%(version)s")
def cli() -> None:
    """Four realistic systems on one local port, to test an integrator against.

    Shop, CRM, accounting and shipping know nothing about each other; your program carries each order through all four.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows `sandbox`; left out, the process's own.

    Returns:
        The exit code: 0 done, 1 refused or failed, 2 usage or input, 130 interrupted.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Not every terminal or file knows each character; an escaped one is better than none of the output.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(arguments, prog_name="sandbox", standalone_mode=False)
    except click.Abort:
        return EXIT_INTERRUPTED
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except SandboxError as problem:
        output.error(problem.message, problem.hint)
        return EXIT_USAGE
    return code if isinstance(code, int) else 0
