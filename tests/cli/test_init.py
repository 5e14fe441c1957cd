"""`sandbox init`: the project that it writes is one, and nothing that was there is lost."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from sandbox.settings import read_settings
from tests.cli.conftest import Sandbox
from tests.cli.test_project import SPEC, one_clear_line

VENDORED = files("check_jsonschema.builtin_schemas.vendor")


def test_a_project_on_the_four_systems(sandbox: Sandbox, tmp_path: Path) -> None:
    done = sandbox("init", "mine")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["written: mine/sandbox.yaml", "written: mine/contracts/invariants.py",
         "written: mine/contracts/scenarios/two-orders.yaml"],
    )  # fmt: skip
    assert "cd mine" in done.stderr
    assert "sandbox doctor" in done.stderr
    ran = sandbox("chaos", "run", "two-orders", "--project", "mine")
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (0, "passed  two-orders")
    rules = sandbox("chaos", "rules", "--project", "mine").stdout
    # Those of the four systems, and its own.
    assert "F01 " in rules
    assert "X01 " in rules


def test_every_line_that_it_proposes_is_good(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox("init")
    file = tmp_path / "sandbox.yaml"
    text = file.read_text(encoding="utf-8")
    proposed = re.sub(r"(?m)^# ( *[a-z_A-Z0-9]+:(?: |$))", r"\1", text.replace("\nsubject: reference\n", "\n"))
    file.write_text(re.sub(r"(?m)^  ( *subject:)(?! reference).*$", "", proposed).replace("  subject:", "subject:"))
    found = read_settings(tmp_path)
    assert (found.subject, found.reconcile_every, found.scenarios) == ("reference", 300, ("one-paid-order",))
    assert dict(found.environment) == {"STORE_URL": "${SHOP_URL}", "STORE_API_KEY": "${SHOP_API_KEY}"}
    assert dict(found.muted) == {"R13": "our gateway caps the pauses"}


def test_nothing_is_overwritten(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "sandbox.yaml").write_text("# mine\n")
    done = sandbox("init")
    assert done.returncode == 0
    assert (tmp_path / "sandbox.yaml").read_text() == "# mine\n"
    assert "kept as it is: sandbox.yaml" in done.stderr
    assert "written: contracts/invariants.py" in done.stdout


def test_a_project_on_ones_own_systems(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(
        SPEC.replace(
            "  /ping:\n    post:\n      operationId: ping\n", "  /notes:\n    post:\n      operationId: create_note\n"
        )
    )
    done = sandbox("init", "mine", "--spec", "my-notes=api.yaml")
    assert done.returncode == 0
    assert "class MyNotes(System)" in (tmp_path / "mine/mocks/my-notes.py").read_text()
    assert "MY_NOTES_URL" in (tmp_path / "mine/sandbox.yaml").read_text()
    assert sandbox("env", "--project", "mine").stdout.startswith("MY_NOTES_URL=")
    listed = sandbox("chaos", "rules", "--project", "mine").stdout
    assert "X01 " in listed
    assert "F01 " not in listed


def test_a_spec_of_several_files(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "note.yaml").write_text("type: object\nproperties: {id: {type: string}}\n")
    note = "content: {application/json: {schema: {$ref: parts/note.yaml}}}"
    (tmp_path / "api.yaml").write_text(SPEC.replace("description: A note", f"description: A note, {note}"))
    assert sandbox("init", "mine", "--spec", "notes=api.yaml").returncode == 0
    assert (tmp_path / "mine/specs/parts/note.yaml").is_file()
    assert sandbox("specs", "check", "--project", "mine").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--spec", "nothing.yaml"), "nothing.yaml: no such file"),
        (("--spec", "a=api.yaml", "--spec", "a=api.yaml"), "two systems have one name"),
        (("api.yaml",), "api.yaml"),
    ],
)
def test_what_cannot_be_a_project(sandbox: Sandbox, tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    (tmp_path / "api.yaml").write_text(SPEC)
    done = sandbox("init", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "sandbox.yaml").exists()


@pytest.mark.parametrize(
    ("service", "target", "schema"),
    [
        ("github", ".github/workflows/chaos.yml", "github-workflows.json"),
        ("gitlab", ".gitlab-ci.yml", "gitlab-ci.json"),
    ],
)
def test_the_job_is_as_its_service_wants_it(
    sandbox: Sandbox, tmp_path: Path, service: str, target: str, schema: str
) -> None:
    sandbox("init", "--ci", service)
    # YAML 1.1, as the services read it, but for `on`, which is a word to GitHub.
    text = (tmp_path / target).read_text(encoding="utf-8").replace("\non:\n", '\n"on":\n')
    jsonschema.validate(yaml.safe_load(text), json.loads((VENDORED / schema).read_text(encoding="utf-8")))
    assert "sandbox chaos explore" in text


def test_an_unknown_service(sandbox: Sandbox) -> None:
    done = sandbox("init", "--ci", "jenkins")
    assert done.returncode == 2
    assert "github" in done.stderr


def test_settings_that_are_wrong(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "sandbox.yaml").write_text("scenario: one-paid-order\nsubjekt: node x.js\n")
    assert "sandbox.yaml:2: subjekt: sandbox.yaml has no such field" in one_clear_line(
        sandbox("chaos", "run", "lost-answer")
    )
    (tmp_path / "sandbox.yaml").write_text("mute:\n  R99: why not\n")
    assert "sandbox.yaml:2: mute: there is no rule 'R99'" in one_clear_line(sandbox("chaos", "run", "lost-answer"))
    (tmp_path / "sandbox.yaml").write_text("\nsubject: nothing-of-this-name\n")
    message = one_clear_line(sandbox("chaos", "run", "lost-answer"))
    assert "sandbox.yaml:2: 'nothing-of-this-name' is neither `reference` nor a command" in message


def test_a_muted_rule_is_shown_and_fails_nothing(sandbox: Sandbox, tmp_path: Path, checkout: Path) -> None:
    folder = checkout / "tests" / "subjects" / "flask"
    (tmp_path / "sandbox.yaml").write_text(
        f"subject: integrator:app\nfolder: {folder}\nenvironment: {{MISTAKE: new-key-on-retry}}\n"
        "reconcile_every: 10s\nreconcile_path: /work\nmute: {F01: known since May, R04: see F01}\n"
    )
    done = sandbox("chaos", "run", "lost-answer", "--report", "out")
    assert done.returncode == 0
    assert "R04  muted (see F01): accounting.create_invoice for 2025-4471 was retried" in done.stdout
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["muted"] == {"F01": "known since May", "R04": "see F01"}
    assert report["card"]["R04"] == {"muted": 1}
    assert "R04 is muted (see F01), and was broken in 1 run" in (tmp_path / "out/report.md").read_text()
    assert "muted, and broken in 1 runs: see F01" in (tmp_path / "out/junit.xml").read_text()
