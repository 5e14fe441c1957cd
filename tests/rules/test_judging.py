"""How rules are made, loaded and judged, and what follows for the exit code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.errors import ProjectError
from sandbox.project import load_invariants
from sandbox.rules import (
    RULES,
    Facts,
    Judgement,
    NotExercised,
    Rule,
    Run,
    Verdict,
    Violation,
    invariant,
    judge,
    rule,
    verdict_of_run,
)
from tests.rules import (
    test_agreement,
    test_invariants,
    test_keys,
    test_pace,
    test_privacy,
    test_retries,
    test_webhooks,
)
from tests.rules.journals import ORDER, Books, Journal, all_rules

EXPECTED = {
    **{f"R{number:02}": "E" for number in range(1, 17) if number != 9},
    **{f"F{number:02}": "E" for number in range(1, 9)},
    **{f"H{number:02}": "E" for number in range(1, 9)},
    **{f"P{number:02}": "E" for number in range(1, 9)},
    **dict.fromkeys(("R11", "R12", "R13", "R14", "F07", "H08", "P08"), "W"),
    "P07": "I",
}

OWN = '''
from dataclasses import dataclass
from sandbox import Run, Violation, invariant

@dataclass
class Found:
    name: str

@invariant("X01", severity="W", source="house rules")
def no_tea(run: Run):
    """There is no tea."""
    for record in run.records("shop", "teas"):
        yield Violation(Found(record["name"]).name)
'''


def empty() -> Run:
    return Run([], {}, Facts())


@rule("X02", severity="W", source="RFC 0")
def falls_over(run: Run) -> Iterator[Violation]:
    """It falls over.

    Whatever it looks at.
    """
    yield Violation("first this")
    raise ZeroDivisionError("by nothing")


@rule("X03")
def never_arose(run: Run) -> Iterator[Violation]:
    """It never arises."""
    raise NotExercised
    yield


@rule("X04")
def complains(run: Run) -> Iterator[Violation]:
    """It complains."""
    yield Violation("a warning", severity="W")
    yield Violation("an error", (1,), ORDER)


@rule("X05", severity="I")
def content(run: Run) -> list[Violation]:
    """It is content."""
    return []


@invariant("X06")
def warns(run: Run) -> Iterator[Violation]:
    """It only warns."""
    yield Violation("a warning", key=ORDER, severity="W")


def verdict(rule: Rule) -> Judgement:
    (found,) = judge(empty(), [rule])
    return found


def test_list_of_rules_is_the_standards() -> None:
    assert {rule.id: rule.severity for rule in all_rules().values()} == EXPECTED
    assert [rule.id for rule in RULES] == sorted(rule.id for rule in RULES)


@pytest.mark.parametrize("rule", all_rules().values(), ids=lambda rule: rule.id)
def test_rules_say_what_they_demand_and_where_it_is_written(rule: Rule) -> None:
    assert rule.title.endswith(".")
    assert rule.source
    assert rule.to_json() == {"id": rule.id, "severity": rule.severity, "title": rule.title, "source": rule.source}


def test_every_rule_has_cases_of_all_three_kinds() -> None:
    modules = (test_retries, test_keys, test_pace, test_webhooks, test_privacy, test_invariants, test_agreement)
    found: dict[str, set[Verdict]] = defaultdict(set)
    for case in (case for module in modules for case in module.CASES):
        found[case.rule].add(case.verdict)
    wanted = {Verdict.FAIL, Verdict.PASS, Verdict.NOT_EXERCISED}
    assert dict(found) == dict.fromkeys(EXPECTED, wanted)


def test_a_rule_that_crashes_is_inconclusive() -> None:
    found = verdict(falls_over)
    assert (found.verdict, found.error) == (Verdict.INCONCLUSIVE, "ZeroDivisionError: by nothing")
    assert found.to_json() == {
        "rule": "X02",
        "severity": "W",
        "verdict": "inconclusive",
        "error": "ZeroDivisionError: by nothing",
    }


def test_verdicts() -> None:
    assert verdict(never_arose).verdict is Verdict.NOT_EXERCISED
    assert verdict(content).verdict is Verdict.PASS
    assert (verdict(complains).verdict, verdict(complains).severity) == (Verdict.FAIL, "E")
    assert (verdict(warns).verdict, verdict(warns).severity, verdict(warns).fails) == (Verdict.FAIL, "W", False)
    assert (falls_over.title, falls_over.source) == ("It falls over.", "RFC 0")
    assert verdict(complains).to_json()["violations"] == [
        {"sentence": "a warning", "seqs": [], "severity": "W"},
        {"sentence": "an error", "seqs": [1], "key": ORDER},
    ]


@pytest.mark.parametrize(
    ("rules", "trouble", "code"),
    [
        ([content, never_arose], {}, 0),
        ([warns, content], {}, 0),
        ([complains], {}, 1),
        ([complains, falls_over], {"unfired": 1, "limited": True}, 1),
        ([falls_over], {}, 3),
        ([content], {"unfired": 2}, 3),
        ([content], {"dropped": True}, 3),
        ([warns], {"limited": True}, 3),
    ],
)
def test_exit_code(rules: list[Rule], trouble: dict[str, int], code: int) -> None:
    assert verdict_of_run(judge(empty(), rules), **trouble) == code


def test_invariants_are_judged_first_and_kept_in_order() -> None:
    @invariant("X07")
    def finds(run: Run) -> Iterator[Violation]:
        """It finds something."""
        yield Violation("found", key=ORDER)

    @rule("X08")
    def asks(run: Run) -> Iterator[Violation]:
        """It asks what was found."""
        yield from (run.broken or {}).get(ORDER, ())

    assert [found.rule.id for found in judge(empty(), [asks, finds])] == ["X08", "X07"]
    assert judge(empty(), [asks, finds])[0].verdict is Verdict.FAIL
    assert judge(empty(), [asks, warns])[0].verdict is Verdict.PASS
    run = empty()
    judge(run, [asks])
    assert run.broken is None


@pytest.mark.parametrize(("identifier", "severity"), [("x", "E"), ("", "E"), ("X 1", "E"), ("X01", "F")])
def test_bad_decorators(identifier: str, severity: str) -> None:
    with pytest.raises(ValueError, match="write"):
        invariant(identifier, severity=severity)


def test_a_rule_needs_words() -> None:
    with pytest.raises(ValueError, match="needs a docstring"):
        invariant("X01")(lambda run: [])


def test_projects_bring_their_own_invariants(tmp_path: Path) -> None:
    assert load_invariants(tmp_path) == ()
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "invariants.py").write_text(OWN)
    (own,) = load_invariants(tmp_path)
    assert (own.id, own.severity, own.title, own.source, own.effects) == (
        "X01", "W", "There is no tea.", "house rules", True,
    )  # fmt: skip
    run = Run([], {"shop": {"teas": [{"name": "Assam"}]}}, Facts())
    assert [violation.sentence for violation in own(run)] == ["Assam"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name", "invariants.py:1: ModuleNotFoundError"),
        ("def broken(:", "invariants.py:1: SyntaxError"),
        (OWN.replace("X01", "R01"), "there is a rule R01 already"),
        (OWN.replace('"X01"', '"no id"'), "is no id of a rule"),
    ],
)
def test_bad_invariants(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "invariants.py").write_text(text)
    with pytest.raises(ProjectError, match=message):
        load_invariants(tmp_path)


def test_rules_ask_without_a_verdict() -> None:
    books = Books()
    books.invoice()
    assert [violation.key for violation in all_rules()["F01"](Journal().run(books.state))] == [ORDER]
    assert list(never_arose(empty())) == []


def test_unfinished_entries_are_judged() -> None:
    journal = Journal()
    journal.call("accounting.create_invoice", key="k", body={"order_number": ORDER})
    journal.entries[0]["answer"] = "unknown"
    judgements = judge(journal.run(Books().state), all_rules().values())
    assert [found.error for found in judgements if found.verdict is Verdict.INCONCLUSIVE] == []


def test_nothing_to_judge() -> None:
    judgements = judge(empty(), all_rules().values())
    assert {found.verdict for found in judgements} == {Verdict.NOT_EXERCISED}
    assert verdict_of_run(judgements) == 0
