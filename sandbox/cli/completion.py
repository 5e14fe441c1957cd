"""`sandbox completion`: what a shell reads so that it completes the commands and what they take."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from sandbox.cli.options import example

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=example(
        'eval "$(sandbox completion bash)"                               # in ~/.bashrc',
        'eval "$(sandbox completion zsh)"                                # in ~/.zshrc',
        "sandbox completion fish > ~/.config/fish/completions/sandbox.fish",
    )
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options, and the names of systems, operations, faults and so on."""
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - click has all of `_SHELLS`
    click.echo(made(context.find_root().command, {}, "sandbox", "_SANDBOX_COMPLETE").source())
