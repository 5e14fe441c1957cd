"""Plan files: read with the line of whatever is wrong, written to be read, and read again without loss."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sandbox.catalog import Catalog
from sandbox.errors import PlanError
from sandbox.faults import CALL_FAULTS, DELIVERY_FAULTS
from sandbox.plan import (
    ANY,
    CallPoint,
    DeliveryPoint,
    Injection,
    Match,
    Occurrences,
    Plan,
    Point,
    Weather,
    seconds,
    share,
    share_text,
    span_text,
)
from sandbox.plan_document import SCHEMA, read_fault, read_plan
from sandbox.plan_file import dump_plan, find_plan, load_plan, parse_plan, parse_value, profiles
from sandbox.project import Project

README = """\
scenario: one-paid-order
seed: 7
faults:
  - on: {system: accounting, operation: create_invoice, key: "2025-4471", occurrence: 1}
    inject: timeout
    effect: applied
  - on: {event: order.paid, key: "2025-4471"}
    inject: duplicate
    with: {after: 3s}
"""

PROFILES = {"flaky", "rate-limited", "slow", "outage", "lossy-webhooks", "black-friday"}
# The names of STANDARDS, faults on calls and on deliveries; `crash` is done to the subject and needs no system.
NAMED = {
    *("rate_limited", "server_error", "timeout", "reset", "truncated", "malformed", "slow", "unauthorized"),
    *("conflict", "redirect", "stale_read", "repeated_request", "outage", "schema_drift"),
    *("duplicate", "concurrent_duplicate", "delay", "reorder", "drop", "forged", "rotated", "respaced"),
}


@pytest.fixture(scope="module")
def catalog(project: Project) -> Catalog:
    return Catalog(project.specs)


def refused(text: str, catalog: Catalog) -> tuple[str, str | None]:
    with pytest.raises(PlanError) as caught:
        parse_plan(text, "plan.yaml", catalog)
    assert "\n" not in caught.value.message
    return caught.value.message, caught.value.hint


def test_the_example(catalog: Catalog) -> None:
    assert parse_plan(README, catalog=catalog) == Plan(
        faults=(
            Injection(CallPoint("accounting", "create_invoice", "2025-4471"), "timeout", "applied"),
            Injection(DeliveryPoint("order.paid", "2025-4471"), "duplicate", parameters={"after": "3s"}),
        ),
        scenario="one-paid-order",
        seed=7,
    )


def test_it_is_written_to_be_read() -> None:
    plan = Plan(
        description="The answer to the invoice is lost.\nThe retry must find it.",
        scenario="one-paid-order",
        seed=7,
        faults=(
            Injection(CallPoint("accounting", "create_invoice", "2025-4471"), "timeout", "applied"),
            Injection(
                DeliveryPoint("order.paid", "0123", Occurrences(1, 2), "sub_1"),
                "duplicate",
                parameters={"after": "3s"},
                match=Match({"/data/currency": "EUR"}),
                count=2,
                ttl=600.0,
            ),
        ),
        weather=(Weather(CallPoint("accounting", occurrence=ANY), "server_error", 0.05),),
    )
    assert dump_plan(plan) == (
        "description: |-\n"
        "  The answer to the invoice is lost.\n"
        "  The retry must find it.\n"
        "scenario: one-paid-order\n"
        "seed: 7\n"
        "faults:\n"
        '  - on: {system: accounting, operation: create_invoice, key: "2025-4471", occurrence: 1}\n'
        "    inject: timeout\n"
        "    effect: applied\n"
        '  - on: {event: order.paid, key: "0123", occurrence: 1-2, subscriber: sub_1}\n'
        "    inject: duplicate\n"
        "    with: {after: 3s}\n"
        "    match: {body: {/data/currency: EUR}}\n"
        "    count: 2\n"
        "    ttl: 10m\n"
        "weather:\n"
        "  - on: {system: accounting, occurrence: any}\n"
        "    inject: server_error\n"
        "    rate: 5 %\n"
    )


names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
occurrences = st.one_of(
    st.just(ANY),
    st.tuples(st.integers(1, 999), st.integers(0, 99)).map(lambda pair: Occurrences(pair[0], sum(pair))),
)
calls = st.builds(
    CallPoint, names, st.none() | names, st.none() | names | st.integers().map(str) | st.floats().map(str), occurrences
)
events = st.builds(DeliveryPoint, names, st.none() | names, occurrences, st.none() | names)
effects: dict[str, list[Any]] = {"none": ["none"], "timeout": ["none", "applied"], "truncated": ["applied"]}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
pointers = names.map(lambda name: "/" + name.replace("~", "~0").replace("\n", " ").replace("\r", " "))
bodies = st.dictionaries(pointers, json_values, max_size=3)
headers = st.dictionaries(names, st.text(st.characters(exclude_categories=("Cs",)), max_size=40), max_size=3)
counts = st.none() | st.integers(1, 10**9)
ttls = st.none() | st.floats(0.001, 315_360_000.0) | st.integers(1, 10**6).map(float)


def call_faults(point: st.SearchStrategy[Any]) -> st.SearchStrategy[Injection]:
    return st.sampled_from(sorted(effects)).flatmap(
        lambda name: st.builds(
            Injection,
            point,
            st.just(name),
            st.sampled_from(effects[name]),
            st.just({}),
            st.builds(Match, bodies, headers),
            counts,
            ttls,
        )
    )


def delivery_faults(point: st.SearchStrategy[Any]) -> st.SearchStrategy[Injection]:
    after = st.sampled_from(["3s", "250ms", 0.1, 7]).map(lambda span: {"after": span})
    return st.builds(
        Injection, point, st.just("duplicate"), st.just("none"), after, st.builds(Match, bodies), counts, ttls
    )


def as_weather(injection: Injection, rate: float) -> Weather:
    return Weather(injection.on, injection.inject, rate, injection.effect, injection.parameters)


faults = call_faults(calls) | delivery_faults(events)
rates = st.floats(0.0, 1.0, exclude_min=True) | st.integers(1, 100).map(lambda percent: percent / 100)
plans = st.builds(
    Plan,
    faults=st.lists(faults, max_size=3).map(tuple),
    weather=st.lists(st.builds(as_weather, faults, rates), max_size=2).map(tuple),
    scenario=st.none() | names | st.builds(lambda text: {"description": text, "steps": [{"pay": text}]}, names),
    expect=st.just({}) | st.just({"rule": "F01"}),
    specs=st.dictionaries(names, st.from_regex("[0-9a-f]{64}", fullmatch=True), max_size=2),
    seed=st.none() | st.integers(0, 2**32 - 1),
    description=st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=300),
)


@settings(max_examples=150, deadline=None)
@given(plans)
def test_nothing_is_lost(plan: Plan) -> None:
    text = dump_plan(plan)
    assert parse_plan(text) == plan
    assert dump_plan(parse_plan(text)) == text


@settings(max_examples=50, deadline=None)
@given(plans)
def test_nothing_is_lost_as_json(plan: Plan) -> None:
    document = json.loads(json.dumps(plan.to_json()))
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert read_plan(document) == plan


@pytest.mark.parametrize(
    "written",
    "2025-4471 0123 1e5 2025-01-01 12:30:45 1_000 0x1F 0o17 -1 +1 1. .5 yes no on off true False y n NO".split(),
)
@pytest.mark.parametrize("quoted", ["{}", '"{}"', "'{}'"])
def test_a_key_is_a_text_however_it_looks(written: str, quoted: str) -> None:
    plan = parse_plan(f"faults:\n- on: {{event: order.paid, key: {quoted.format(written)}}}\n  inject: drop\n")
    assert plan.faults[0].on.key == written
    dumped = dump_plan(plan)
    assert f'key: "{written}"' in dumped
    # Other programs read by the rules of YAML 1.1, and take even `on` for true.
    (fault,) = yaml.safe_load(dumped)["faults"]
    assert fault[True]["key"] == written


def test_header_values_stay_as_they_were_written() -> None:
    match = "match: {header: {x-retry: 01, X-Try: true}, body: {/n: 1}}"
    plan = parse_plan(f"faults:\n- on: {{system: shop}}\n  inject: timeout\n  {match}\n")
    assert plan.faults[0].match == Match({"/n": 1}, {"x-retry": "01", "X-Try": "true"})


def test_comments_and_json_are_read() -> None:
    document = json.dumps(parse_plan(README).to_json(), indent=2)
    assert parse_plan(document) == parse_plan("# a comment\n" + README) == parse_plan(README)
    assert parse_plan("{}") == Plan()


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("3s", 3),
        ("250ms", 0.25),
        ("10m", 600),
        ("2h", 7200),
        ("1d", 86400),
        ("1.5 s", 1.5),
        (7, 7),
        (0.5, 0.5),
        ("4", 4),
    ],
)
def test_spans(span: Any, expected: float) -> None:
    assert seconds(span) == expected
    assert seconds(span_text(expected)) == expected


@pytest.mark.parametrize(
    "span", ["soon", "3 weeks", "-3s", -1, True, None, "", "s", "1e3s", 10**400, float("inf"), "²s"]
)
def test_what_is_no_span(span: Any) -> None:
    with pytest.raises(PlanError, match="not a span of time"):
        seconds(span)


@pytest.mark.parametrize(("rate", "expected"), [("5 %", 0.05), ("5%", 0.05), ("0.5 %", 0.005), (0.05, 0.05), (1, 1)])
def test_rates(rate: Any, expected: float) -> None:
    assert share(rate) == expected
    assert share(share_text(expected)) == expected


@pytest.mark.parametrize("rate", [0, "0 %", 5, "101 %", "five", True, -0.1, "5 percent", float("nan")])
def test_what_is_no_rate(rate: Any) -> None:
    with pytest.raises(PlanError, match="no share of the calls"):
        share(rate)


ON = "on: {system: accounting, operation: create_invoice}"


@pytest.mark.parametrize(
    ("fault", "line", "reason", "hint"),
    [
        ("- on: {system: acounting}\n  inject: timeout", 2, "there is no system 'acounting'", "mean accounting?"),
        ("- on:\n    system: shop\n    operation: get_ordr\n  inject: timeout", 4, "'get_ordr'", "mean get_order?"),
        ("- on: {system: crm, operation: get_order}\n  inject: timeout", 2, "crm has no operation", "shop has it"),
        ("- on: {event: order.piad}\n  inject: drop", 2, "no system has an event 'order.piad'", "mean order.paid?"),
        ("- on: {system: order, operation: paid}\n  inject: timeout", 3, "order.paid is an event", "such as duplicate"),
        (f"- {ON}\n  inject: timout", 3, "there is no fault 'timout'", "did you mean timeout?"),
        (f"- {ON}\n  inject: duplicate", 3, "duplicate is a fault on deliveries", "on: {event: order.paid}"),
        ("- on: {event: order.paid}\n  inject: timeout", 3, "timeout is a fault on calls", "on: {system: accounting"),
        (f"- {ON}\n\n  inject: truncated\n  effect: none", 5, "truncated cannot have effect: none", "effect: applied"),
        (f"- {ON}\n  inject: rate_limited\n  effect: applied", 4, "cannot have effect: applied", "effect: none"),
        (f"- {ON}\n  inject: timeout\n  effect: aplied", 4, "'aplied' is neither none nor applied", "mean applied?"),
        ("- on: {event: order.paid}\n  inject: drop\n  effect: applied", 4, "takes no effect", "leave effect out"),
        (f"- {ON}\n  inject: stale_read", 3, "create_invoice is a POST", "such as list_invoices"),
        (f"- {ON}\n  efect: none\n  inject: reset", 3, "fault has no such field", "did you mean effect?"),
        ("- on: {event: order.paid}\n  inject: duplicate\n  after: 3s", 4, "no such field", "write it under with:"),
        ("- on: {system: shop, opration: x}\n  inject: reset", 2, "on has no such field", "did you mean operation?"),
        ("- on: {event: order.paid}\n  inject: duplicate\n  with: {aftr: 3s}", 4, "takes no 'aftr'", "mean after?"),
        ("- on: {event: order.paid}\n  inject: duplicate\n  with:\n    after: soon", 5, "not a span", "3s, 250ms"),
        ("- on: {event: order.paid}\n  inject: drop\n  with: {after: 3s}", 4, "drop takes no 'after'", "leave with"),
        ("- on: {system: shop, event: order.paid}\n  inject: reset", 2, "neither a call nor a delivery", "write on:"),
        ("- on: {key: a}\n  inject: reset", 2, "neither a call nor a delivery", "write on:"),
        ("- on: {system: shop, occurrence: 0}\n  inject: reset", 2, "occurrence: 0", "a range such as 1-2"),
        ("- on: {system: shop, occurrence: 3-2}\n  inject: reset", 2, "'3-2' names no", "a range such as 1-2"),
        ("- on: {system: shop, occurrence: first}\n  inject: reset", 2, "occurrence: 'first'", "a range such as 1-2"),
        ("- on: {system: shop, occurrence: 1.0}\n  inject: reset", 2, "1.0 names no", "a range such as 1-2"),
        ("- on: shop.get_order\n  inject: reset", 2, "'shop.get_order' is not a mapping", "write on: {system:"),
        (f"- {ON}", 2, "inject: it is missing", None),
        ("- inject: reset", 2, "on: it is missing", "write on: {system:"),
        ("- timeout", 2, "'timeout' is not a mapping", None),
        (f"- {ON}\n  inject: reset\n  count: 0", 4, "count: 0 is too small", "from 1"),
        (f"- {ON}\n  inject: reset\n  count: twice", 4, "'twice' is not a whole number", "from 1"),
        (f"- {ON}\n  inject: reset\n  ttl: soon", 4, "ttl: 'soon'", "10m"),
        (f"- {ON}\n  inject: reset\n  ttl: 0s", 4, "it would lift at once", "10m"),
        (f"- {ON}\n  inject: reset\n  match: {{bdy: {{/a: 1}}}}", 4, "match has no such field", "did you mean body?"),
        (f"- {ON}\n  inject: reset\n  match: {{body: {{currency: EUR}}}}", 4, "'currency' cannot be read", "a slash"),
        (f"- {ON}\n  inject: reset\n  match: {{}}", 4, "match:", "write match:"),
        ("- on: {system: shop, operation: get_order}\n  inject: reset\n  match: {body: {/a: 1}}", 4, "no body", "a"),
        ("- on: {event: order.paid}\n  inject: drop\n  match: {header: {a: b}}", 4, "a delivery", "match its"),
    ],
)  # fmt: skip
def test_a_fault_that_is_refused(fault: str, line: int, reason: str, hint: str | None, catalog: Catalog) -> None:
    message, found = refused(f"faults:\n{fault}\n", catalog)
    assert message.startswith(f"plan.yaml:{line}: ")
    assert reason in message
    assert hint is None if found is None else hint is not None and hint in found


@pytest.mark.parametrize(
    ("text", "line", "reason", "hint"),
    [
        ("fault: []", 1, "plan has no such field", "did you mean faults?"),
        ("seed: 7\nfaults: timeout", 2, "faults: 'timeout' is not a list", None),
        ("seed: seven", 1, "seed: 'seven' is not a whole number", None),
        ("seed: -1", 1, "seed: -1 is too small", None),
        ("scenario: [a]", 1, "scenario: ['a'] is not a text", None),
        ("", 1, "plan: None is not a mapping", None),
        ("- on: {}", 1, "is not a mapping", None),
        ("weather:\n- on: {system: shop}\n  inject: reset", 2, "rate: it is missing", "write 5 %"),
        ("weather:\n- on: {system: shop}\n  inject: reset\n  rate: often", 4, "rate: 'often'", "write 5 %"),
        ("weather:\n- on: {system: shop}\n  inject: reset\n  rate: 120 %", 4, "no share of the calls", "at most 100 %"),
        ("weather:\n- on: {system: shop}\n  inject: reset\n  rate: 5 %\n  ttl: 1s", 5, "no such field", "known are"),
        ("weather:\n- on: {system: shop}\n  inject: outage\n  rate: 5 %", 3, "outage goes on", "under faults:"),
        ("weather:\n- on: {system: shp}\n  inject: reset\n  rate: 5 %", 2, "no system 'shp'", "mean shop?"),
        ("faults: [", 2, "not YAML", "mend the syntax"),
        ("seed: 1\nseed: 2", 2, "stands twice", "mend the syntax"),
        ("scenario: &a x\ndescription: *a", 2, "no anchors and aliases", None),
        ("faults: &a [*a]", 1, "no anchors and aliases", None),
        ("{a: 1}: 2", 1, "a key must be a plain string", None),
        ("seed: 1\n---\nseed: 2", 2, "another document", None),
        ("faults:\n- {on: {system: shop}, inject: reset}\n- on: {system: shop}\n  inject: rest", 4, "'rest'", "reset?"),
    ],
)  # fmt: skip
def test_a_plan_that_is_refused(text: str, line: int, reason: str, hint: str | None, catalog: Catalog) -> None:
    message, found = refused(text, catalog)
    assert message.startswith(f"plan.yaml:{line}: "), message
    assert reason in message
    assert hint is None or (found is not None and hint in found)


def test_what_is_too_much_is_refused(catalog: Catalog) -> None:
    for depth in (65, 5000, 500_000):
        assert "nested too deeply" in refused("[" * depth + "]" * depth, catalog)[0]
        with pytest.raises(PlanError, match="not a value"):
            parse_value("[" * depth + "]" * depth)
    many = "faults:\n" + "- {on: {system: shop}, inject: reset}\n" * 1001
    assert refused(many, catalog) == ("plan.yaml:1: faults: 1001 are too many", "there may be 1000")


def test_a_file_that_cannot_be_read(tmp_path: Path, catalog: Catalog) -> None:
    latin, large, folder = tmp_path / "latin.yaml", tmp_path / "large.yaml", tmp_path / "folder.yaml"
    latin.write_bytes(b"description: caf\xe9\n")
    large.write_bytes(b"#" * 1_048_577)
    folder.mkdir()
    for path, reason in (
        (tmp_path / "none.yaml", "no such file"),
        (latin, "not UTF-8 (byte 16)"),
        (large, "too many for a plan"),
        (folder, "cannot be read"),
    ):
        with pytest.raises(PlanError, match=re.escape(reason)) as caught:
            load_plan(path, catalog)
        assert caught.value.message.startswith(f"{path}: ")
        assert caught.value.hint


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(README, encoding="utf-8-sig")
    assert load_plan(path) == parse_plan(README)


def test_the_effect_that_is_the_only_one_need_not_be_named() -> None:
    fault = {"on": {"system": "shop"}, "inject": "truncated"}
    assert read_fault(fault).effect == "applied"
    assert read_fault(fault | {"inject": "timeout"}).effect == "none"


def test_a_whole_number_is_one_however_it_is_written() -> None:
    plan = read_plan({"seed": 7.0, "faults": [{"on": {"system": "shop"}, "inject": "reset", "count": 2.0}]})
    assert (repr(plan.seed), repr(plan.faults[0].count)) == ("7", "2")


def test_each_fault_is_in_the_schema() -> None:
    Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))
    listed = json.loads(SCHEMA.read_text())["$defs"]["inject"]["anyOf"]
    known = {one["const"]: one["description"] for one in listed if "const" in one}
    assert known.keys() == NAMED | {"none"}
    assert known.keys() <= CALL_FAULTS.keys() | DELIVERY_FAULTS.keys()
    for name, description in known.items():
        kind = "Call" if name in CALL_FAULTS else "Delivery"
        assert name == "none" or description.startswith(kind)


def test_one_vocabulary(checkout: Path) -> None:
    shipped = json.loads(SCHEMA.read_text())
    control = yaml.safe_load((checkout / "sandbox" / "control.yaml").read_text())["components"]["schemas"]

    def fields(schema: dict[Any, Any]) -> set[str]:
        return {"on" if name is True else name for name in schema["properties"]}

    assert fields(shipped) == fields(control["Plan"])
    for ours, theirs in (("fault", "Fault"), ("weather", "Weather"), ("match", "Match")):
        assert fields(shipped["$defs"][ours]) == fields(control[theirs])
    call, delivery = control["Point"]["oneOf"]
    assert fields(shipped["$defs"]["point"]) == fields(call) | fields(delivery)


def test_profiles(checkout: Path, catalog: Catalog) -> None:
    found = profiles(checkout)
    assert set(found) == PROFILES
    for path in found.values():
        plan = load_plan(path, catalog)
        assert plan.description
        assert plan.faults or plan.weather
        assert parse_plan(dump_plan(plan)) == plan


def test_a_plan_is_found_by_path_or_as_a_profile(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "contracts" / "profiles").mkdir(parents=True)
    own = tmp_path / "contracts" / "profiles" / "flaky.yaml"
    own.write_text("{}")
    assert find_plan("flaky", [tmp_path, checkout]) == own
    assert find_plan("outage", [tmp_path, checkout]) == checkout / "contracts" / "profiles" / "outage.yaml"
    assert find_plan("some/where.yaml", [tmp_path]) == Path("some/where.yaml")
    assert find_plan("mine.yml", [tmp_path]) == Path("mine.yml")
    with pytest.raises(PlanError, match="there is no profile 'flakey'") as caught:
        find_plan("flakey", [tmp_path, checkout])
    assert caught.value.hint == "did you mean flaky?"


@pytest.mark.parametrize(
    ("text", "value"), [("3s", "3s"), ("503", 503), ("0.5", 0.5), ("true", True), ("[a, b]", ["a", "b"]), ("", None)]
)
def test_single_values(text: str, value: Any) -> None:
    assert parse_value(text) == value


def test_a_value_that_is_none() -> None:
    with pytest.raises(PlanError, match="not a value"):
        parse_value("[")


@pytest.mark.parametrize("point", [CallPoint("anything"), DeliveryPoint("any.thing")])
def test_without_a_project_every_point_passes(point: Point) -> None:
    Catalog().check(Injection(point, "timeout"))
