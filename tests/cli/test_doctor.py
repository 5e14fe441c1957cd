"""`sandbox doctor`: each thing that may be wrong in a setup is found at its step, with what mends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Done, Sandbox

STEPS = "settings systems starts webhooks acknowledges calls credentials requests outcome".split()
SOUND = {
    "subject": "integrator:app",
    "folder": "",
    "reconcile_every": "10s",
    "reconcile_path": "/work",
    "environment": {},
}


@pytest.fixture
def settings(tmp_path: Path, checkout: Path) -> dict[str, object]:
    """What sandbox.yaml says: a sound program."""
    return {**SOUND, "folder": str(checkout / "tests" / "subjects" / "flask")}


def looked_at(sandbox: Sandbox, folder: Path, settings: dict[str, object]) -> Done:
    # JSON is YAML.
    (folder / "sandbox.yaml").write_text(json.dumps(settings), encoding="utf-8")
    return sandbox("doctor", "--json")


def states(done: Done) -> dict[str, str]:
    return {step["step"]: step["state"] for step in json.loads(done.stdout)["steps"]}


def test_a_sound_setup(sandbox: Sandbox, tmp_path: Path, settings: dict[str, object]) -> None:
    done = looked_at(sandbox, tmp_path, settings)
    assert states(done) == dict.fromkeys(STEPS, "ok")
    assert done.returncode == 0
    shown = sandbox("doctor")
    assert [line.split()[:2] for line in shown.stdout.splitlines()] == [["ok", step] for step in STEPS]
    assert "it called shop " in shown.stdout


@pytest.mark.parametrize(
    ("change", "step", "what", "mend"),
    [
        ({"webhook_path": "/hooks"}, "acknowledges", "it answered webhooks 6 with 404", "webhook_path in sandbox.yaml"),
        (
            {"environment": {"WEBHOOK_SECRET": "whsec_AAAA"}},
            "acknowledges",
            "it answered webhooks",
            "the secret in WEBHOOK_SECRET",
        ),
        (
            {"environment": {"SHOP_API_KEY": "wrong"}},
            "credentials",
            "shop.get_order answered 401",
            "what sandbox env prints as SHOP_",
        ),
        ({"folder": "."}, "starts", "No module named 'integrator'", "is the folder right"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (
                    {"environment": {"SHOP_URL": "http://127.0.0.1:9"}},
                    "starts",
                    "it calls 127.0.0.1:9, where no system of this project is",
                    "run it as a program of its own",
                ),
                ({"environment": {"X": "${SHOPURL}"}}, "starts", "there is no such variable", "did you mean SHOP_URL?"),
                (
                    {"environment": {"DATA_DIR": "/nowhere"}},
                    "starts",
                    "unable to open database file",
                    "is the folder right",
                ),
            )
        ),
    ],
)
def test_what_is_wrong_is_found_at_its_step(
    sandbox: Sandbox,
    tmp_path: Path,
    settings: dict[str, object],
    change: dict[str, object],
    step: str,
    what: str,
    mend: str,
) -> None:
    done = looked_at(sandbox, tmp_path, settings | change)
    assert done.returncode == 1
    found = {finding["step"]: finding for finding in json.loads(done.stdout)["steps"]}
    assert list(found) == STEPS
    place = STEPS.index(step)
    assert [found[name]["state"] for name in STEPS[:place]].count("failed") == 0
    assert found[step]["state"] == "failed"
    assert what in found[step]["what"]
    assert mend in found[step]["mend"]
    assert {found[name]["state"] for name in STEPS[place + 1 :]} <= {"skipped"}


def test_settings_that_cannot_be_read(sandbox: Sandbox, tmp_path: Path) -> None:
    done = looked_at(sandbox, tmp_path, {"subjekt": 1})
    assert done.returncode == 2
    assert states(done) == {"settings": "failed", **dict.fromkeys(STEPS[1:], "skipped")}


def test_specs_that_cannot_be_served(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    done = looked_at(sandbox, tmp_path, {})
    assert done.returncode == 2
    assert states(done)["systems"] == "failed"
