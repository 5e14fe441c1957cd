"""What a shell completes, asked as a shell asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from sandbox.cli import cli
from tests.cli.conftest import COMMAND, Sandbox


def completed(*words: str) -> list[str]:
    """What is proposed for the last of the words that were typed."""
    shell = BashComplete(cli, {}, "sandbox", "_SANDBOX_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (("com",), ["completion"]),
        (("state", ""), ["accounting", "crm", "shipping", "shop"]),
        (("journal", "--system", "s"), ["shipping", "shop"]),
        (("journal", "--system", "shop", "--operation", "cancel"), ["cancel_order", "cancel_line_item"]),
        (("contracts", "crm", "acc"), ["accounting"]),
        (("fault", "add", "accounting.create"), ["accounting.create_invoice", "accounting.create_credit_note"]),
        (("fault", "add", "order.p"), ["order.placed", "order.paid"]),
        (("fault", "add", "order.paid", "du"), ["duplicate"]),
        (("fault", "add", "shop", "time"), ["timeout"]),
        (("chaos", "explore", "--scenario", "one-"), ["one-paid-order"]),
        (("chaos", "run", "lost-a"), ["lost-answer", "lost-answer-twice"]),
        (("chaos", "rules", "R0"), ["R01", "R02", "R03", "R04", "R05", "R06", "R07", "R08"]),
    ],
)
def test_names_are_completed(words: tuple[str, ...], proposed: list[str], outside: dict[str, str]) -> None:
    assert completed(*words) == proposed


def test_a_broken_project_makes_no_noise(tmp_path: Path, outside: dict[str, str]) -> None:
    (tmp_path / "sandbox.yaml").touch()
    (tmp_path / "specs").mkdir()
    assert completed("state", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(sandbox: Sandbox, shell: str) -> None:
    done = sandbox("completion", shell)
    assert done.returncode == 0
    assert f"_SANDBOX_COMPLETE={shell}_complete" in done.stdout


def test_an_unknown_shell(sandbox: Sandbox) -> None:
    assert sandbox("completion", "csh").returncode == 2


def test_the_process_answers_the_shell(tmp_path: Path) -> None:
    asked = {"_SANDBOX_COMPLETE": "bash_complete", "COMP_WORDS": "sandbox state sh", "COMP_CWORD": "2"}
    done = subprocess.run(
        COMMAND, cwd=tmp_path, env=os.environ | asked, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.stdout.split(), done.stderr) == (["plain,shipping", "plain,shop"], "")
    assert sys.executable in COMMAND


def test_rules_by_name(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "sandbox.yaml").write_text("mute: {R13: the platform caps it}\n")
    done = sandbox("chaos", "rules", "R13")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["RULE", "R13", "R13"]
    assert "R13 is muted: the platform caps it" in done.stdout
    assert "did you mean R13?" in sandbox("chaos", "rules", "RR13").stderr
