"""`sandbox.yaml`: what is read from it, and what is said when something in it is wrong."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from sandbox.errors import ProjectError
from sandbox.settings import ProjectSettings, read_settings


def read(folder: Path, text: str) -> ProjectSettings:
    (folder / "sandbox.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    return read_settings(folder)


def test_everything(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        subject: node integrator.js
        folder: service
        environment: {STORE_URL: "${SHOP_URL}", LEVEL: 010, DEBUG: yes}
        webhook_path: /hooks
        health_path: /ready
        ready_within: 10s
        run_within: 2m
        request_limit: 30
        reconcile_every: 5m
        reconcile_path: /cron
        parking: parked.json
        scenario: [one-paid-order, rush-hour]
        time_scale: 0.01
        mute: {R13: the platform caps it}
        """,
    )
    assert (found.subject, found.folder, found.parking) == ("node integrator.js", tmp_path / "service", "parked.json")
    # Variables are texts, as they were written.
    assert dict(found.environment) == {"STORE_URL": "${SHOP_URL}", "LEVEL": "010", "DEBUG": "yes"}
    assert (found.webhook_path, found.health_path, found.reconcile_path) == ("/hooks", "/ready", "/cron")
    assert (found.ready_within, found.run_within, found.request_limit, found.reconcile_every) == (10, 120, 30, 300)
    assert found.scenarios == ("one-paid-order", "rush-hour")
    assert found.muted == {"R13": "the platform caps it"}


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_nothing_said(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert (found.subject, found.scenarios, dict(found.muted)) == (None, (), {})
    assert found.file == tmp_path / "sandbox.yaml"


def test_no_file(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == ProjectSettings()


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("a: b\nsubject: ]", 2, "not YAML", "mend the syntax"),
        ("- 1", 1, "sandbox.yaml: [1] is not a mapping", None),
        ("# one\n\nsubjekt: node x.js", 3, "subjekt: sandbox.yaml has no such field", "did you mean subject?"),
        ("subject: 7", 1, "subject: 7 is not a text", "write subject: node integrator.js"),
        ("subject: x\nhealth_path: health", 2, "health_path: 'health' is no path", "write /health"),
        ("ready_within: soon", 1, "ready_within: 'soon' is not a span of time", "write seconds or a unit"),
        ("run_within: 0", 1, "run_within: it would be over at once", "write seconds or a unit"),
        ("\nenvironment:\n  STORE-URL: x", 2, "environment: 'STORE-URL' is no name of a variable", "letters"),
        ("mute:\n  R13: ''", 2, "the reason: '' is empty", "write mute: {R13: why it may be broken}"),
        ("mute:\n  R13:", 2, "the reason: None is not a text", None),
        ("mute: [R13]", 1, "mute: ['R13'] is not a mapping", "write mute"),
        ("reconcile_path: /x", 1, "reconcile_path: nobody says how often", "write reconcile_every: 5m"),
        ("time_scale: 0", 1, "time_scale: 0 is too small", "write a number above 0"),
        ("scenario: []", 1, "scenario: [] is empty", None),
        ("a: &x 1", 1, "a: sandbox.yaml has no such field", None),
        ("subject: x\nsubject: y", 2, "stands twice", None),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, message: str, hint: str | None
) -> None:
    with pytest.raises(ProjectError) as raised:
        read(tmp_path, text)
    assert raised.value.message.startswith(f"{tmp_path / 'sandbox.yaml'}:{line}: ")
    assert message in raised.value.message
    assert "\n" not in raised.value.message
    if hint is not None:
        assert hint in (raised.value.hint or "")
