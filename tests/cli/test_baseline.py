"""Known failures: what a baseline lists fails nothing until its day; what is new does, and what is gone is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Done, Sandbox
from tests.cli.test_project import one_clear_line

LOST = "accounting.create_invoice timeout applied"


@pytest.fixture
def careless(tmp_path: Path, checkout: Path) -> None:
    """A program that books an invoice twice when an answer is lost."""
    document = {
        "subject": "integrator:app",
        "folder": str(checkout / "tests" / "subjects" / "flask"),
        "environment": {"MISTAKE": "new-key-on-retry"},
        "reconcile_every": "10s",
        "reconcile_path": "/work",
    }
    (tmp_path / "sandbox.yaml").write_text(json.dumps(document), encoding="utf-8")


def known(folder: Path, *entries: tuple[str, str, str]) -> None:
    lines = [f"  - {{rule: {rule}, at: [{at}], reason: PAY-1234, until: {until}}}" for rule, at, until in entries]
    (folder / "known.yaml").write_text("\n".join(["known:", *lines]), encoding="utf-8")


def run(sandbox: Sandbox, *more: str) -> Done:
    return sandbox("chaos", "run", "lost-answer", "--baseline", "known.yaml", *more)


@pytest.mark.usefixtures("careless")
def test_what_is_known_fails_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    known(tmp_path, ("F01", LOST, "2999-12-31"), ("R04", LOST, "2999-12-31"), ("F03", LOST, "2000-01-01"))
    done = run(sandbox)
    assert done.returncode == 0
    assert "1 failing plan is known, and fails nothing (known.yaml)" in done.stdout
    assert "known.yaml:4: F03 at" in done.stdout
    assert "nothing failed like it: remove it" in done.stdout
    assert not (tmp_path / ".sandbox").exists()


@pytest.mark.usefixtures("careless")
def test_what_has_expired_and_what_is_new_fails(sandbox: Sandbox, tmp_path: Path) -> None:
    known(tmp_path, ("F01", LOST, "2000-01-01"))
    done = run(sandbox, "--annotate", "github")
    assert done.returncode == 1
    assert f"known.yaml:2: F01 at {LOST} expired on 2000-01-01, so it fails again" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("::error ")]
    assert line.startswith("::error file=.sandbox/reproducers/f01-")
    assert "::F01: order 2025-4471 ended with 2 invoices" in line


@pytest.mark.usefixtures("careless")
@pytest.mark.slow
def test_a_search_fails_by_what_is_new(sandbox: Sandbox, tmp_path: Path) -> None:
    arguments = ("chaos", "explore", "--budget", "5m", "--json")
    found = json.loads(sandbox(*arguments).stdout)
    assert found["exit_code"] == 1
    failing = found["searches"][0]["failing"]
    assert failing > 3
    # A whole run of chaos tells everything that breaks; all but one of them are entered.
    known(tmp_path, ("F01", LOST, "2999-12-31"), ("R04", LOST, "2999-12-31"), ("F02", LOST, "2999-12-31"))
    left = json.loads(sandbox(*arguments, "--baseline", "known.yaml").stdout)
    assert left["searches"][0]["failing"] == failing - 1
    assert left["notes"][0].startswith("1 failing plan is known")
    assert any("nothing failed like F02" in note for note in left["notes"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "known.yaml:1: baseline: None is not a mapping"),
        ("known:\n  - {rule: F01, at: x, until: 2999-01-01}", "known.yaml:2: reason: it is missing"),
        ("known:\n  - {rule: F99, at: x, reason: y, until: 2999-01-01}", "known.yaml:2: rule: there is no rule 'F99'"),
        ("known:\n  - {rule: F01, at: x, reason: y, until: soon}", "known.yaml:2: until: 'soon' is no date"),
        ("known:\n  - {rule: F01, at: x, reason: y, until: 2999-02-31}", "'2999-02-31' is no date"),
    ],
)
def test_a_baseline_that_is_wrong(sandbox: Sandbox, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "known.yaml").write_text(text, encoding="utf-8")
    assert told in one_clear_line(run(sandbox))
