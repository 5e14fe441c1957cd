"""`sandbox contracts usage` and `sandbox contracts diff`, on journals that the reference integrator really left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.chaos.library import Library
from sandbox.chaos.reference import ReferenceSubject
from sandbox.chaos.runner import Runner
from sandbox.plan import Plan
from sandbox.project import Project
from tests.cli.conftest import Done, Sandbox, Up

Entries = list[dict[str, Any]]


@pytest.fixture(scope="module")
def entries(project: Project) -> Entries:
    scenario = Library(project).scenario("one-paid-order")
    return Runner(project, ReferenceSubject()).run(Plan(scenario="one-paid-order", seed=1), scenario).journal


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Entries], Path]:
    def write(name: str, entries: Entries) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
        return path

    return write


@pytest.fixture
def journal(write: Callable[[str, Entries], Path], entries: Entries) -> Path:
    return write("journal.jsonl", entries)


def spoilt(entries: Entries) -> Entries:
    """The same journal, but the invoice has a field that nobody knows, and the date of birth."""
    copied: Entries = json.loads(json.dumps(entries))
    for entry in copied:
        if (entry["address"] or {}).get("operation") == "create_invoice":
            entry["request"]["body"] |= {"colour": "red"}
            entry["request"]["body"]["customer"]["date_of_birth"] = "[personal:0a0a0a0a]"
    return copied


def shows_one_clear_error(done: Done, what: str) -> bool:
    lines = done.stderr.splitlines()
    return done.returncode == 2 and done.stdout == "" and lines[0].startswith("error: ") and what in lines[0]


def test_usage_of_a_good_journal(sandbox: Sandbox, journal: Path) -> None:
    done = sandbox("contracts", "usage", journal.name)
    assert (done.returncode, done.stderr) == (0, "")
    assert "conformity: each of 12 requests keeps to its target's spec" in done.stdout
    assert "crm.create_activity path customer_id" in done.stdout
    assert "read, unknown use" in done.stdout
    assert "\x1b" not in done.stdout


def test_usage_of_a_recording(sandbox: Sandbox, journal: Path, entries: Entries) -> None:
    """Calls stand there in the order in which they ended, and the last one may be cut."""
    lines = [json.dumps(entry) for entry in reversed(entries)]
    journal.write_text("\n".join([*lines, '{"seq": 99, "ki']), encoding="utf-8")
    done = sandbox("contracts", "usage", journal.name)
    assert (done.returncode, done.stderr) == (0, "")
    assert "crm.create_activity path customer_id" in done.stdout


def test_usage_of_a_bad_journal(sandbox: Sandbox, write: Callable[[str, Entries], Path], entries: Entries) -> None:
    bad = write("bad.jsonl", spoilt(entries))
    done = sandbox("contracts", "usage", bad.name)
    assert done.returncode == 1
    assert "/colour is not a known field (occurrence 1, seq 12)" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "/customer/date_of_birth" in line)
    assert row.split() == [
        *("accounting", "create_invoice", "/customer/date_of_birth", "billing", "customer_relations", "NO", "1", "1")
    ]
    document = json.loads(sandbox("contracts", "usage", bad.name, "--json").stdout)
    assert [(found["seq"], found["pointer"]) for found in document["departures"]] == [(12, "/colour")]


def test_usage_of_a_report(sandbox: Sandbox, tmp_path: Path, entries: Entries) -> None:
    """Two findings are two journals; their places are told apart."""
    findings = [{"rule": "R04", "journal": entries}, {"rule": "P04", "journal": spoilt(entries)}]
    (tmp_path / "report.json").write_text(json.dumps({"findings": findings}), encoding="utf-8")
    done = sandbox("contracts", "usage", "report.json")
    assert done.returncode == 1
    assert "conformity: 1 of 24 requests" in done.stdout
    assert "  report.json finding 2: accounting.create_invoice" in done.stdout


def test_usage_of_the_running_sandbox(sandbox: Sandbox, up: Up) -> None:
    done = sandbox("contracts", "usage", "--url", up.url)
    assert done.returncode == 3
    assert "inconclusive: the journal has no call of the integrator" in done.stdout
    httpx.get(f"{up.url}/shop/basket", trust_env=False)
    done = sandbox("contracts", "usage", "--url", up.url)
    assert done.returncode == 1
    assert "shop has no operation GET /basket" in done.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "file.jsonl:1: not JSON"),
        ('{"seq": 1, "kind": "note", "at": 1, "text": "x"}\n{"seq"\n', "file.jsonl:2: not JSON"),
        ("[1]", "entry 1: no entry of a journal: an object is due"),
        ('{"a": 1}', "file.jsonl:1: no entry of a journal: it has no seq or no kind"),
        ('{"seq": 1, "kind": "call", "at": 1, "address": {}}', "its address names no system"),
        ('{"findings": []}', "the report has no journal"),
        ("\xff", "not UTF-8"),
    ],
)
def test_usage_of_what_is_no_journal(sandbox: Sandbox, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "file.jsonl").write_bytes(text.encode("latin-1"))
    assert shows_one_clear_error(sandbox("contracts", "usage", "file.jsonl"), says)


def test_usage_without_a_sandbox(sandbox: Sandbox) -> None:
    done = sandbox("contracts", "usage", "--url", "http://127.0.0.1:1")
    assert shows_one_clear_error(done, "no sandbox runs at http://127.0.0.1:1")


@pytest.fixture
def changed(tmp_path: Path, checkout: Path) -> Callable[[str, str, str], tuple[str, str]]:
    """A spec of the project, and the same one with a change."""

    def change(system: str, old: str, new: str) -> tuple[str, str]:
        path = checkout / "specs" / f"{system}.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        (tmp_path / "new.yaml").write_text(text.replace(old, new), encoding="utf-8")
        return str(path), "new.yaml"

    return change


Change = Callable[[str, str, str], tuple[str, str]]


def test_a_change_that_breaks_this_consumer(sandbox: Sandbox, journal: Path, changed: Change) -> None:
    files = changed("crm", "customer_id:", "client_id:")
    done = sandbox("contracts", "diff", *files, "--journal", journal.name)
    assert done.returncode == 1
    assert "the field customer_id is called client_id now" in done.stdout
    assert "crm.create_activity path customer_id" in done.stdout
    assert "new.yaml:" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_change_that_breaks_others_only(sandbox: Sandbox, journal: Path, changed: Change) -> None:
    """The reference integrator never records a payment."""
    files = changed("accounting", "  /invoices/{invoice_id}/payments:", "  /invoices/{invoice_id}/receipts:")
    (journal.parent / "usage.json").write_text(sandbox("contracts", "usage", journal.name, "--json").stdout)
    assert sandbox("contracts", "diff", *files).returncode == 1
    for option, file in (("--usage", "usage.json"), ("--journal", journal.name)):
        done = sandbox("contracts", "diff", *files, option, file, "--json")
        assert done.returncode == 0
        document = json.loads(done.stdout)
        assert (document["judged_for"], document["broken"], document["breaks"]) == ("this consumer", False, 0)
        assert {found["why"] for found in document["changes"]} == {"this consumer never calls the operation"}


def test_only_what_is_certain(sandbox: Sandbox, journal: Path, changed: Change) -> None:
    files = changed("accounting", "enum: [open, paid, void]", "enum: [open, paid, void, overdue]")
    given = ("contracts", "diff", *files, "--journal", journal.name)
    assert sandbox(*given).returncode == 1
    done = sandbox(*given, "--certain")
    assert done.returncode == 0
    assert "may break  /status: the value overdue is new" in done.stdout


def test_a_system_of_another_name(sandbox: Sandbox, journal: Path, changed: Change) -> None:
    """Which system a file is about is seen by its operations; where not, it is asked for."""
    _, new = changed("shipping", "tracking_number:", "parcel_number:")
    done = sandbox("contracts", "diff", new, new, "--journal", journal.name)
    assert (done.returncode, done.stdout) == (0, "nothing changed on the wire\n")
    done = sandbox("contracts", "diff", new, new, "--journal", journal.name, "--system", "shiping")
    assert shows_one_clear_error(done, "the consumer never calls a system shiping")
    assert "did you mean shipping?" in done.stderr


def test_no_change(sandbox: Sandbox, changed: Change) -> None:
    old, _ = changed("shop", "Orders", "Orders")
    done = sandbox("contracts", "diff", old, old, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["changes"] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1", "not an OpenAPI document"),
        ("a: [", "not YAML"),
        ("openapi: 4.0.0\npaths: {}", "is not supported"),
        (
            "openapi: 3.0.3\npaths: {/a: {get: {operationId: a, responses: {'200': {$ref: x}}}}}",
            "bad.yaml:2 /paths/~1a/get",
        ),
    ],
)
def test_diff_of_what_is_no_spec(sandbox: Sandbox, tmp_path: Path, changed: Change, text: str, says: str) -> None:
    old, _ = changed("shop", "Orders", "Orders")
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    assert shows_one_clear_error(sandbox("contracts", "diff", old, "bad.yaml"), says)


def test_usage_data_that_is_none(sandbox: Sandbox, tmp_path: Path, changed: Change) -> None:
    files = changed("shop", "Orders", "Orders")
    (tmp_path / "usage.json").write_text("{}", encoding="utf-8")
    assert shows_one_clear_error(sandbox("contracts", "diff", *files, "--usage", "usage.json"), "no usage data")
    done = sandbox("contracts", "diff", *files, "--usage", "usage.json", "--journal", "usage.json")
    assert done.returncode == 2
    assert "exclude each other" in done.stderr


@pytest.mark.parametrize("command", ["usage", "diff"])
def test_help(sandbox: Sandbox, command: str) -> None:
    done = sandbox("contracts", command, "--help")
    assert done.returncode == 0
    assert "Exit codes" in done.stdout
