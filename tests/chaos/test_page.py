"""The page of a report in a real browser: it opens long journals, answers the keyboard, and looks like something."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.chaos.minimise import Reproducer
from sandbox.chaos.report import Finding, Judged, Report, card_of
from sandbox.chaos.report_files import write_report
from sandbox.chaos.session import Session
from tests.chaos.browser import Browser, browser, chromium

LONG = 10_000
HOSTILE = "</script><img src=x onerror=alert(1)><i>text</i>"
# What is in the document besides rows, and what one row is made of, bound how many elements there can be.
MOST_ROWS = 40
MOST_ELEMENTS = 2_500


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on this machine; Debian's package is called chromium")
    with browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(session: Session) -> Report:
    """A run in which an answer is lost and the subject is killed."""
    _, plan = session.library.find("crash-between-two-systems")
    record, verdict = session.run(plan, session.library.scenario_of(plan))
    judged = Judged("crash-between-two-systems", "sandbox chaos run crash-between-two-systems", record, verdict)
    return Report("run", session.name, 0, card=card_of([verdict]), judged=judged)


def with_journal(report: Report, journal: list[dict[str, Any]]) -> Report:
    assert report.judged is not None
    return replace(report, judged=replace(report.judged, record=replace(report.judged.record, journal=journal)))


def long(report: Report) -> list[dict[str, Any]]:
    """A journal of many entries: one run's, over and over."""
    assert report.judged is not None
    one = report.judged.record.journal
    return [
        one[number % len(one)] | {"seq": number + 1, "at": one[number % len(one)]["at"] + 400.0 * (number // len(one))}
        for number in range(LONG)
    ]


@pytest.fixture
def opened(tab: Browser, report: Report, session: Session, tmp_path: Path) -> Browser:
    """The page of a long journal."""
    write_report(tmp_path, with_journal(report, long(report)), session.rules)
    tab.requested.clear()
    tab.errors.clear()
    tab.view(1440, 900)
    tab.open(tmp_path / "report.html")
    return tab


def rows(tab: Browser) -> list[int]:
    found: list[int] = tab.evaluate("[...document.querySelectorAll('.row')].map((row) => Number(row.dataset.index))")
    return sorted(found)


def lines(picture: bytes) -> set[bytes]:
    """The different lines of a PNG, as they are stored: nearly all alike when there is nothing to see."""
    width, height = struct.unpack(">II", picture[16:24])
    data, position = b"", 8
    while position < len(picture):
        size, kind = struct.unpack(">I4s", picture[position : position + 8])
        if kind == b"IDAT":
            data += picture[position + 8 : position + 8 + size]
        position += 12 + size
    raw = zlib.decompress(data)
    length = len(raw) // height
    assert length > width
    return {raw[start + 1 : start + length] for start in range(0, len(raw), length)}


def test_a_long_journal_costs_no_more_than_what_is_in_view(opened: Browser, tmp_path: Path) -> None:
    assert opened.evaluate("document.getElementById('count').textContent") == "10,000 entries, 500 with a fault"
    assert 5 < len(rows(opened)) <= MOST_ROWS
    assert opened.evaluate("document.querySelectorAll('*').length") < MOST_ELEMENTS
    assert opened.evaluate("document.getElementById('scroller').scrollHeight") > LONG * 30
    opened.evaluate("document.getElementById('scroller').scrollTop = 1e9")
    assert len(rows(opened)) <= MOST_ROWS
    assert rows(opened)[0] > LONG * 0.9
    assert opened.requested == [(tmp_path / "report.html").as_uri()]
    assert opened.errors == []


def test_the_picture_is_not_blank(opened: Browser, tmp_path: Path) -> None:
    light = opened.picture(tmp_path / "light.png")
    opened.view(1440, 900, "dark")
    assert opened.evaluate("document.documentElement.dataset.theme") == "dark"
    dark = opened.picture(tmp_path / "dark.png")
    assert len(lines(light)) > 300
    assert len(lines(dark)) > 300
    assert light != dark


def test_the_keyboard_reaches_everything(opened: Browser) -> None:
    hidden = "document.getElementById('details').hidden"
    active = "document.getElementById(document.getElementById('scroller').getAttribute('aria-activedescendant'))"
    opened.evaluate("document.getElementById('scroller').focus()")
    opened.press("ArrowDown", "ArrowDown")
    assert "call list_webhook_subscriptions" in opened.evaluate(f"{active}.getAttribute('aria-label')")
    assert opened.evaluate(hidden) is True
    opened.press("Enter")
    assert opened.evaluate(hidden) is False
    opened.press("f")
    said = opened.evaluate(f"{active}.getAttribute('aria-label')")
    assert "create_invoice" in said
    assert "fault crash" in said
    assert "created invoices/" in said
    details = opened.evaluate("document.getElementById('details').innerText")
    assert "no answer" in details
    assert "idempotency-key: order-2025-4471-invoice-1" in details
    opened.press("Escape", "End")
    assert opened.evaluate(hidden) is True
    assert opened.evaluate(f"{active}.getAttribute('aria-posinset')") == opened.evaluate(
        f"{active}.getAttribute('aria-setsize')"
    )
    opened.press("Home")
    assert "subject started" in opened.evaluate(f"{active}.getAttribute('aria-label')")


def test_entries_can_be_found(opened: Browser) -> None:
    opened.evaluate(
        "(document.getElementById('query').value = 'create_invoice crash', "
        "document.getElementById('query').dispatchEvent(new Event('input')))"
    )
    assert opened.evaluate("document.getElementById('count').textContent") == "500 of 10,000 entries, 500 with a fault"
    assert opened.evaluate("[...document.querySelectorAll('.row.call')].every((row) => row.matches('.faulty'))")


def test_what_took_effect_differs_in_shape_and_word(opened: Browser) -> None:
    opened.press("f")
    faulty = "document.querySelector('.row.faulty.active')"
    assert opened.evaluate(f"{faulty}.querySelector('.bar').classList.contains('applied')")
    assert opened.evaluate(f"{faulty}.querySelector('.cross') !== null")
    assert "✓ created invoices/" in opened.evaluate(f"{faulty}.textContent")
    filled = "getComputedStyle(document.querySelector('.row .bar.{}')).fill"
    assert opened.evaluate(filled.format("applied")) != opened.evaluate(filled.format("none"))


def test_hostile_text_is_shown_as_text(tab: Browser, report: Report, session: Session, tmp_path: Path) -> None:
    assert report.judged is not None
    journal = deepcopy(report.judged.record.journal)
    for entry in journal:
        if entry["address"]:
            entry["address"]["key"] = HOSTILE
            entry["request"]["body"] = {HOSTILE: HOSTILE}
    write_report(tmp_path, replace(with_journal(report, journal), subject=HOSTILE, trouble=[HOSTILE]), session.rules)
    tab.errors.clear()
    tab.requested.clear()
    tab.open(tmp_path / "report.html")
    tab.press("f")
    tab.evaluate("document.getElementById('scroller').focus()")
    tab.press("Enter")
    assert HOSTILE in tab.evaluate("document.getElementById('details').textContent")
    assert tab.evaluate("document.querySelectorAll('img, i').length") == 0
    assert tab.evaluate("document.querySelector('h1').textContent").endswith(HOSTILE)
    assert tab.errors == []
    assert len(tab.requested) == 1


def test_each_finding_can_be_chosen(tab: Browser, session: Session, tmp_path: Path) -> None:
    findings = [found(session, name, tmp_path) for name in ("lost-answer", "lost-webhook")]
    write_report(tmp_path, Report("explore", session.name, 0, exit_code=1, findings=findings), session.rules)
    tab.open(tmp_path / "report.html")
    assert tab.evaluate("document.querySelectorAll('#scenes button').length") == 2
    story = "document.getElementById('story').textContent"
    assert tab.evaluate(story) == "the story of lost-answer"
    tab.evaluate("document.querySelectorAll('#scenes button')[1].click()")
    assert tab.evaluate(story) == "the story of lost-webhook"
    assert tab.evaluate("document.getElementById('replay-command').textContent") == "sandbox chaos replay lost-webhook"
    assert "inject: drop" in tab.evaluate("document.getElementById('plan').textContent")
    assert "never arrived" in tab.evaluate("document.getElementById('rows').textContent")


def found(session: Session, name: str, folder: Path) -> Finding:
    """A finding with the journal of a named failure; what it says of it is made up."""
    _, plan = session.library.find(name)
    scenario = session.library.scenario_of(plan)
    record, verdict = session.run(plan, scenario)
    reproducer = Reproducer(
        plan, scenario, "F01", f"the story of {name}", record, verdict, 1, exhausted=False, flaky=False
    )
    return Finding(reproducer, folder / name, f"sandbox chaos replay {name}")
