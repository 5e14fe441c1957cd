"""Reports as files: what programs, CI systems, pull requests and people are handed after a run."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from sandbox.chaos.diagram import draw, duration
from sandbox.chaos.explore import Exploration, Explorer
from sandbox.chaos.junit import CONCLUSIVE, junit
from sandbox.chaos.markdown import code, markdown
from sandbox.chaos.mermaid import MOST_STEPS, escape, mermaid
from sandbox.chaos.page import embedded, fill, page
from sandbox.chaos.report import Judged, Report, card_of, counters
from sandbox.chaos.report_files import write_report
from sandbox.chaos.scenario import Scenario
from sandbox.chaos.session import Session
from sandbox.clock import SystemClock
from sandbox.plan import Plan
from sandbox.plan_file import parse_plan
from sandbox.project import Project
from tests.chaos.tiny import Blind, Careful

LOST = 'faults: [{on: {system: ledger, operation: book, key: "2025-1"}, inject: timeout, effect: applied}]'
NEVER = 'faults: [{on: {system: ledger, operation: book, key: "2025-9"}, inject: reset}]'
COMMAND = "sandbox chaos run lost.yaml --seed 0"
HOSTILE = "</script><img src=x onerror=alert(1)>\u2028`|;%%{{script}}\x07"


@pytest.fixture(scope="module")
def blind(tiny_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(tiny_project, Blind, tmp_path_factory.mktemp("reproducers"))


@pytest.fixture(scope="module")
def careful(tiny_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(tiny_project, Careful, tmp_path_factory.mktemp("reproducers"))


def run(session: Session, plan: Plan, scenario: Scenario) -> Report:
    record, verdict = session.run(plan, scenario)
    return Report(
        "run",
        session.name,
        0,
        exit_code=verdict.exit_code,
        card=card_of([verdict]),
        trouble=list(verdict.trouble),
        counters=counters(record),
        judged=Judged("lost", COMMAND, record, verdict),
    )


@pytest.fixture(scope="module")
def failed(blind: Session, one_order: Scenario) -> Report:
    """A run with a finding."""
    report = run(blind, parse_plan(LOST), one_order)
    report.findings.append(blind.finding(parse_plan(LOST), one_order, "X01"))
    return report


@pytest.fixture(scope="module")
def passed(careful: Session, one_order: Scenario) -> Report:
    return run(careful, parse_plan(LOST), one_order)


@pytest.fixture(scope="module")
def search(tiny_project: Project, one_order: Scenario) -> Exploration:
    return Explorer(tiny_project, Blind, SystemClock()).explore(one_order, 0)


@pytest.fixture(scope="module")
def explored(blind: Session, search: Exploration, one_order: Scenario) -> Report:
    report = Report("explore", blind.name, 0, exit_code=1, searches=[search], card=search.card)
    report.findings += blind.findings(search.failures, one_order)
    return report


def with_journal(report: Report, journal: list[dict[str, Any]]) -> Report:
    """The report of a passing run with another journal."""
    assert report.judged is not None
    judged = replace(report.judged, record=replace(report.judged.record, journal=journal))
    return replace(report, judged=judged)


def hostile(report: Report) -> Report:
    """The report with the names that an order, its bodies and the subject may have at worst."""
    assert report.judged is not None
    journal = deepcopy(report.judged.record.journal)
    for entry in journal:
        if entry["address"]:
            entry["address"]["key"] = HOSTILE
        if entry.get("request"):
            entry["request"]["body"] = {HOSTILE: HOSTILE}
    return replace(with_journal(report, journal), subject=HOSTILE, trouble=[HOSTILE])


# The four files


def test_all_files_are_written(failed: Report, blind: Session, tmp_path: Path) -> None:
    files = write_report(tmp_path / "new" / "folder", failed, blind.rules)
    assert [file.name for file in files] == ["report.json", "report.md", "report.html", "junit.xml"]
    document = json.loads(files[0].read_text())
    assert document["findings"][0]["journal"]
    assert {rule["id"] for rule in document["rules"]} >= {"X01", "R01"}


# Diagrams


def call(seq: int, at: float, **more: Any) -> dict[str, Any]:
    address = {"system": "ledger", "operation": "book", "key": "2025-1", "occurrence": seq}
    entry = {"seq": seq, "kind": "call", "at": at, "address": address, "request": {"headers": {}}, "effect": "none"}
    return entry | {"changes": [], "fault": None, "answer": {"status": 201, "outcome": "sent"}} | more


def note(seq: int, at: float, text: str) -> dict[str, Any]:
    return {"seq": seq, "kind": "note", "at": at, "address": None, "text": text}


def test_steps_stand_in_the_order_of_their_beginnings() -> None:
    steps = draw([call(1, 5.0), call(2, 4.0), call(3, 4.0)], "mine").steps
    assert [(step.seq, step.at, step.position) for step in steps] == [(2, 0.0, 1), (3, 0.0, 2), (1, 1.0, 0)]


def test_customers_stand_apart_from_the_subject() -> None:
    customers = call(1, 0.0, request={"headers": {"sandbox-actor": "scenario"}})
    diagram = draw([customers, call(2, 1.0)], "mine")
    assert [who.name for who in diagram.participants] == ["scenario", "mine", "ledger"]
    assert [(step.source, step.target) for step in diagram.steps] == [(0, 2), (1, 2)]


def test_a_subject_is_down_between_its_end_and_its_return() -> None:
    journal = [note(1, 0, "subject started"), note(2, 1, "subject killed"), call(3, 2), note(4, 3, "subject restarted")]
    steps = draw([*journal, call(5, 4)], "mine").steps
    assert [step.down for step in steps] == [False, False, True, True, False]
    assert [step.turn for step in steps] == ["starts", "stops", "", "starts", ""]


@pytest.mark.parametrize(
    ("answer", "left", "said", "answered"),
    [
        ({"status": 201, "outcome": "sent"}, None, "201", True),
        ({"status": 201, "outcome": "lost"}, 10.0, "no answer, gave up after 10 s", False),
        ({"status": None, "outcome": "lost"}, None, "no answer", False),
        ({"status": 201, "outcome": "reset"}, 0.0, "connection reset", False),
        ({"status": 201, "outcome": "cut"}, None, "201, cut short", False),
        ("unknown", None, "answer unknown", False),
    ],
)
def test_a_step_says_what_the_caller_saw(answer: Any, left: float | None, said: str, answered: bool) -> None:
    (step,) = draw([call(1, 0.0, answer=answer, left_at=left)], "mine").steps
    assert (step.answer, step.answered) == (said, answered)


def test_a_step_says_what_took_effect() -> None:
    changes = [{"action": "create", "collection": "entries", "id": "e1"}, {"action": "x", "collection": "y", "id": "z"}]
    fault = {"inject": "server_error", "with": {"status": 503}}
    (step,) = draw([call(1, 0.0, effect="applied", changes=changes, fault=fault)], "mine", {1}).steps
    assert (step.effect, step.change) == ("applied", "created entries/e1 and 1 more")
    assert (step.fault, step.evidence) == ("server_error 503", True)


def test_a_dropped_webhook_never_arrives() -> None:
    address = {"event": "order.paid", "key": "-", "occurrence": 1, "subscriber": "s"}
    entry = {"seq": 1, "kind": "delivery", "at": 0.0, "address": address, "system": "shop", "fault": {"inject": "drop"}}
    (lost,) = draw([entry | {"answer": {"error": "dropped"}}], "mine").steps
    (came,) = draw([entry | {"answer": {"status": 204}}], "mine").steps
    assert (lost.reached, came.reached, came.answer) == (False, True, "204")
    assert "p1-xp0: order.paid (dropped)" in mermaid(draw([entry | {"answer": {"error": "dropped"}}], "mine"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (3.5, "3.5 s"), (60, "1 min"), (299.5, "5 min"), (289, "4 min 49 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# Markdown


def test_markdown_has_a_diagram_of_each_finding(failed: Report, blind: Session) -> None:
    text = markdown(failed, blind.rules)
    assert text.startswith("# Chaos: blind failed\n")
    assert "## X01: order 2025-1 was booked 2 times" in text
    assert "- `timeout, applied, on ledger.book 2025-1`" in text
    assert f"Replay: `{failed.findings[0].command}`" in text
    diagram = text.partition("```mermaid\n")[2].partition("```")[0]
    assert "actor p0 as scenario" in diagram
    assert "participant p1 as subject blind" in diagram
    assert "participant p3 as ledger" in diagram
    assert "p1->>p3: book 2025-1" in diagram
    assert "Note over p3: ⚡ timeout, work done" in diagram
    assert "p3--xp1: no answer, gave up after 5 s ✔ created entries/" in diagram
    assert diagram.count("rect ") == diagram.count("    end\n") == 1


def test_markdown_of_what_passes_has_the_card_alone(passed: Report, careful: Session) -> None:
    text = markdown(passed, careful.rules)
    assert "mermaid" not in text
    assert "| X01 | Each order is booked exactly once. | 1 | 0 | 0 | 0 |" in text


def test_an_interrupted_search_names_what_it_found(search: Exploration, blind: Session) -> None:
    report = Report("explore", blind.name, 0, exit_code=130, searches=[search], interrupted=True)
    text = markdown(report, blind.rules)
    assert "# Chaos: blind interrupted" in text
    assert "- X01: order 2025-1 was booked 2 times: timeout, applied, on ledger.book 2025-1" in text


def test_mermaid_takes_any_text_as_text() -> None:
    assert escape("create_invoice 2025-4471") == "create_invoice 2025-4471"
    assert escape("a;b#c:d\ne<f>") == "a#59;b#35;c#58;d#32;e#60;f#62;"
    assert escape("the end, Endless") == "the #101;nd, Endless"
    assert len(escape("x" * 1000)) < 100


def test_a_long_journal_is_thinned_and_counted() -> None:
    journal = [call(seq, float(seq // 100)) for seq in range(1, 1001)]
    journal[500]["fault"] = {"inject": "timeout"}
    text = mermaid(draw(journal, "mine"))
    assert text.count("->>") - text.count("-->>") == text.count("-->>") == MOST_STEPS
    assert "⚡ timeout" in text
    assert "left out, " in text


def test_markdown_survives_hostile_text(passed: Report, careful: Session) -> None:
    report = hostile(passed)
    assert report.judged is not None
    verdict = replace(report.judged.verdict, exit_code=1)
    text = markdown(replace(report, judged=replace(report.judged, verdict=verdict)), careful.rules)
    assert "<img" not in text.replace("\\<img", "")
    assert code("a`b``c") == "``` a`b``c ```"


# JUnit


def parsed(text: str) -> ET.Element:
    root = ET.fromstring(text)
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[name]) == len(suite.findall(f"testcase/{tag}"))
            assert int(root.attrib[name]) == sum(int(other.attrib[name]) for other in root)
        assert len({case.attrib["name"] for case in cases}) == len(cases)
    return root


def outcomes(suite: ET.Element) -> dict[str, str]:
    return {
        case.attrib["name"].partition(" ")[0]: next((child.tag for child in case), "pass")
        for case in suite.findall("testcase")
    }


def test_junit_has_a_case_for_each_rule(failed: Report, blind: Session) -> None:
    (suite,) = parsed(junit(failed, blind.rules))
    assert failed.judged is not None
    found = outcomes(suite)
    assert len(suite.findall("testcase")) == len(blind.rules) + 1
    assert {rule for rule, outcome in found.items() if outcome == "failure"} == set(failed.judged.verdict.broken)
    assert suite.attrib["name"] == "lost"
    (failure,) = suite.findall("testcase[@name='X01 Each order is booked exactly once.']/failure")
    assert failure.attrib["message"] == "order 2025-1 was booked 2 times"
    assert f"replay it: {failed.findings[0].command}" in (failure.text or "")
    assert "inject: timeout" in (failure.text or "")


def test_junit_of_what_passes(passed: Report, careful: Session) -> None:
    (suite,) = parsed(junit(passed, careful.rules))
    assert suite.attrib["failures"] == suite.attrib["errors"] == "0"
    assert outcomes(suite)["R01"] == "skipped"
    assert outcomes(suite)["X01"] == "pass"


def test_junit_of_a_run_that_says_too_little(careful: Session, one_order: Scenario) -> None:
    (suite,) = parsed(junit(run(careful, parse_plan(NEVER), one_order), careful.rules))
    (error,) = suite.findall(f"testcase[@name='{CONCLUSIVE}']/error")
    assert "a fault never fired: reset" in error.attrib["message"]


def test_junit_of_a_search(explored: Report, blind: Session, search: Exploration) -> None:
    (suite,) = parsed(junit(explored, blind.rules))
    assert suite.attrib["name"] == "one"
    broken = {rule for trial in search.failures for rule in trial.verdict.broken}
    assert {rule for rule, outcome in outcomes(suite).items() if outcome == "failure"} == broken
    for failure in suite.findall("testcase/failure"):
        assert "replay" in (failure.text or "")
    assert "plans were possible" in (suite.findtext("system-out") or "")


def test_junit_of_an_interrupted_search(search: Exploration, blind: Session) -> None:
    searches = [search, replace(search, scenario="two", covered=False)]
    report = Report("explore", blind.name, 0, exit_code=130, searches=searches, interrupted=True)
    whole, part = parsed(junit(report, blind.rules))
    assert not whole.findall("testcase/error")
    assert [error.attrib["message"] for error in part.findall("testcase/error")] == ["the search was interrupted"]


def test_junit_holds_any_text(passed: Report, careful: Session) -> None:
    report = hostile(passed)
    assert report.judged is not None
    verdict = replace(report.judged.verdict, trouble=(HOSTILE,))
    root = parsed(junit(replace(report, judged=replace(report.judged, verdict=verdict)), careful.rules))
    error = root.find(".//error")
    assert error is not None
    assert error.attrib["message"].startswith("</script><img")


# The page


def without_data(text: str) -> str:
    return re.sub(r'(<script type="application/json" id="data">)[^<]*(</script>)', r"\1\2", text)


def test_the_page_asks_for_nothing(failed: Report, blind: Session) -> None:
    text = without_data(page(failed, blind.rules))
    assert "http:" not in text
    assert "https:" not in text
    assert re.findall(r"""\b(?:src|href)\s*=\s*["']?([^"'\s>]*)""", text) == ["data:,"]
    assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|sendBeacon", text)
    assert "default-src 'none'" in text


def test_data_cannot_leave_its_element(passed: Report, careful: Session) -> None:
    text = page(hostile(passed), careful.rules)
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert "<" not in data
    assert HOSTILE in json.dumps(json.loads(data), ensure_ascii=False).replace("\\u0007", "\x07")
    assert "<img" not in text
    assert "&lt;/script&gt;" in text.partition("</title>")[0]
    assert json.loads(embedded({"<&>\u2028": "</script>"})) == {"<&>\u2028": "</script>"}


def test_a_slot_in_a_value_stays_as_it_is() -> None:
    assert fill("{{one}} {{two}}", {"one": "{{two}}", "two": "2"}) == "{{two}} 2"


@pytest.mark.parametrize(
    ("which", "title", "rule"), [("failed", "X01", "X01"), ("passed", "lost", ""), ("unbroken", "one", "")]
)
def test_the_page_shows_findings_else_the_last_run_else_the_baseline(
    request: pytest.FixtureRequest, search: Exploration, blind: Session, which: str, title: str, rule: str
) -> None:
    unbroken = Report("explore", blind.name, 0, searches=[search], card=search.card)
    report = unbroken if which == "unbroken" else request.getfixturevalue(which)
    text = page(report, blind.rules)
    document = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    (scene,) = document["scenes"]
    assert (scene["title"], scene["rule"]) == (title, rule)
    assert len(scene["steps"]) == len(scene["journal"]) > 0


def test_the_card_puts_what_is_broken_first(failed: Report, blind: Session) -> None:
    text = page(failed, blind.rules)
    card = json.loads(text.partition('id="data">')[2].partition("</script>")[0])["card"]
    assert failed.judged is not None
    broken = [row["rule"] for row in card if row["status"] == "fail"]
    assert sorted(failed.judged.verdict.broken) == broken == [row["rule"] for row in card[: len(broken)]]
    assert {row["status"] for row in card} >= {"warning", "pass", "not_exercised"}
