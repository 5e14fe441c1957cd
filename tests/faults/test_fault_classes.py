"""Each call fault by itself, in front of a stand-in for the rest of the pipeline."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from random import Random
from statistics import fmean, median
from typing import Any

import pytest

from sandbox.errors import PlanError
from sandbox.faults import CALL_FAULTS, CallFault
from sandbox.faults.base import Cut, Drip, Outcome, Reset, Send, Silence
from sandbox.faults.drift import Drift
from sandbox.faults.latency import Latency
from sandbox.faults.registry import build
from sandbox.model import JSON, Answer, Problem
from sandbox.plan import CallPoint, Injection

NOW = 1_767_225_600.5
BODY = json.dumps({"id": "inv_1", "lines": [{"sku": "A", "price": 1}, {"sku": "B", "price": 2}], "note": None}).encode()
GOOD = Answer(201, (("content-type", JSON), ("Location", "/invoices/inv_1")), BODY)


@dataclass
class StandIn:
    """What a fault may use of a call, with a record of what it used."""

    good: Answer = GOOD
    now: float = NOW
    chance: Random = field(default_factory=lambda: Random(7))
    elsewhere: str = "/accounting/elsewhere/invoices"
    done: list[str] = field(default_factory=list)
    waited: float = 0.0

    async def proceed(self) -> Answer:
        self.done.append("proceed")
        return self.good

    async def repeat(self) -> Answer:
        self.done.append("repeat")
        return Answer(200, (("Idempotent-Replayed", "true"),), BODY)

    async def stale(self) -> Answer:
        self.done.append("stale")
        return Answer(200, (), b'{"id":"inv_0"}')

    async def pause(self, seconds: float) -> None:
        self.waited += seconds

    def crash(self) -> None:
        self.done.append("crash")

    def refuse(self, problem: Problem) -> Answer:
        return problem.answer("/invoices")

    def over_quota(self, wait: int) -> Problem:
        return Problem(429, "too many", headers={"Retry-After": str(wait)})

    def unauthorized(self) -> Problem:
        return Problem(401, "expired", headers={"WWW-Authenticate": "Bearer"})

    def in_progress(self) -> Problem:
        return Problem(409, "in progress")


def met(name: str, exchange: StandIn | None = None, effect: str | None = None, **parameters: Any) -> Outcome:
    """What a call sees that meets the fault."""
    fault = CALL_FAULTS[name]
    chosen: Any = effect or ("none" if "none" in fault.effects else "applied")
    return asyncio.run(fault(chosen, **parameters).apply(exchange or StandIn()))


def refusal(name: str, **parameters: Any) -> str:
    """The one line in which parameters are refused."""
    fault = CALL_FAULTS[name]
    with pytest.raises(PlanError) as caught:
        build(Injection(CallPoint("a", "b"), name, min(fault.effects), parameters))
    line = f"{caught.value.message}; {caught.value.hint}"
    assert caught.value.hint
    assert "\n" not in line
    return line


def test_every_fault_of_the_table_is_registered() -> None:
    table = (
        "none rate_limited server_error timeout reset truncated malformed slow unauthorized conflict redirect "
        "stale_read repeated_request outage schema_drift"
    )
    assert set(table.split()) <= set(CALL_FAULTS)


@pytest.mark.parametrize("name", sorted(CALL_FAULTS))
def test_work_is_done_exactly_when_the_effect_says_so(name: str) -> None:
    fault = CALL_FAULTS[name]
    assert fault.__doc__
    if name in ("none", "stale_read") or "proceed" not in fault.apply.__code__.co_names:
        return
    for effect in fault.effects:
        exchange = StandIn()
        outcome = met(name, exchange, effect)
        assert ("proceed" in exchange.done) == (effect == "applied")
        assert outcome.answer is not None or effect == "none"


def test_no_fault_is_no_fault() -> None:
    assert met("none") == Send(GOOD)


class TestRateLimited:
    def test_seconds(self) -> None:
        outcome = met("rate_limited", retry_after="1500ms")
        assert outcome.answer is not None
        assert (outcome.answer.status, outcome.answer.header("Retry-After")) == (429, "2")

    def test_a_date_is_never_too_early(self) -> None:
        answer = met("rate_limited", retry_after=3, format="http-date").answer
        assert answer is not None
        shown = answer.header("Retry-After") or ""
        assert shown.endswith("GMT")
        assert NOW + 3 <= parsedate_to_datetime(shown).timestamp() < NOW + 4

    def test_parameters(self) -> None:
        assert "http-date" in refusal("rate_limited", format="date")
        assert "did you mean retry_after?" in refusal("rate_limited", retryafter=3)
        assert "span of time" in refusal("rate_limited", retry_after="soon")
        assert "span of time" in refusal("rate_limited", retry_after=-1)


class TestServerError:
    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    @pytest.mark.parametrize("effect", ["none", "applied"])
    def test_is_a_problem(self, status: int, effect: str) -> None:
        exchange = StandIn()
        answer = met("server_error", exchange, effect, status=status).answer
        assert answer is not None
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        assert answer.json()["status"] == status
        assert exchange.done == ["proceed"] * (effect == "applied")

    def test_retry_after(self) -> None:
        answer = met("server_error", status=503, retry_after="90s").answer
        assert answer is not None
        assert answer.header("Retry-After") == "90"

    def test_parameters(self) -> None:
        assert "501 is none of 500, 502, 503, 504" in refusal("server_error", status=501)
        assert "none of" in refusal("server_error", status=True)
        assert "none of" in refusal("server_error", status="500")


class TestLostAnswers:
    def test_nothing_comes(self) -> None:
        assert met("timeout") == Silence(None)
        assert met("timeout", effect="applied") == Silence(GOOD)
        assert met("reset") == Reset(None)
        assert met("reset", effect="applied") == Reset(GOOD)

    def test_a_plain_fault_takes_no_parameters(self) -> None:
        assert refusal("timeout", after=3) == "with: timeout takes no 'after'; leave with: out"

    @pytest.mark.parametrize(
        ("at", "arrived"),
        [(None, len(BODY) // 2), (0, 0), (5, 5), (len(BODY) - 1, len(BODY) - 1), (10**9, len(BODY) - 1)],
    )
    def test_a_cut_body_lacks_at_least_a_byte(self, at: int | None, arrived: int) -> None:
        assert met("truncated", at=at) == Cut(GOOD, arrived)

    def test_what_has_no_body_is_cut_before_it_begins(self) -> None:
        assert met("truncated", StandIn(Answer(204)), at=3) == Cut(Answer(204), 0)

    def test_parameters(self) -> None:
        for wrong in (-1, 1.5, "half", True):
            assert "whole number" in refusal("truncated", at=wrong)


class TestMalformed:
    def test_promises_json_and_is_none(self) -> None:
        answer = met("malformed").answer
        assert answer is not None
        assert (answer.status, answer.content_type, answer.header("Location")) == (201, JSON, "/invoices/inv_1")
        with pytest.raises(ValueError, match="unexpected"):
            answer.json()

    def test_an_answer_without_a_body_gets_one(self) -> None:
        answer = met("malformed", StandIn(Answer(204)), body="oops").answer
        assert answer == Answer(200, (("content-type", JSON),), b"oops")

    def test_json_is_refused(self) -> None:
        for wrong in ("{}", "1", '"text"', 7, None):
            assert "is not a text other than JSON" in refusal("malformed", body=wrong)
        met("malformed", body="")


class TestSlow:
    def test_waits_after_the_work_is_done(self) -> None:
        exchange = StandIn()
        assert met("slow", exchange) == Send(GOOD)
        assert (exchange.done, exchange.waited) == (["proceed"], 2.0)

    def test_drips(self) -> None:
        exchange = StandIn()
        assert met("slow", exchange, drip="100ms", size=7) == Drip(GOOD, 7, 0.1)
        assert exchange.waited == 0.0
        assert met("slow", exchange, drip=1, delay=3) == Drip(GOOD, 1, 1.0)
        assert exchange.waited == 3.0

    def test_draws_from_the_calls_own_source(self) -> None:
        first, second = StandIn(), StandIn()
        met("slow", first, distribution="exponential", mean=1)
        met("slow", second, distribution="exponential", mean=1)
        assert first.waited == second.waited > 0

    def test_parameters(self) -> None:
        assert "did you mean uniform?" in refusal("slow", distribution="unifrom", upper=1)
        assert "not both" in refusal("slow", distribution="uniform", delay=1, upper=1)
        assert "uniform needs upper" in refusal("slow", distribution="uniform")
        assert "takes no 'mean'" in refusal("slow", distribution="uniform", mean=1)
        assert "distribution: exponential" in refusal("slow", mean=1)
        assert "above upper" in refusal("slow", distribution="uniform", lower=2, upper=1)
        assert "from 0 to 10" in refusal("slow", distribution="lognormal", median=1, sigma=11)
        assert "whole number from 1" in refusal("slow", drip=1, size=0)
        assert "span of time" in refusal("slow", delay=float("inf"))


class TestLatency:
    def drawn(self, distribution: str, **parameters: Any) -> list[float]:
        latency, chance = Latency.parse(None, distribution, parameters), Random(1)
        return [latency.draw(chance) for _ in range(20_000)]

    def test_uniform(self) -> None:
        drawn = self.drawn("uniform", lower="1s", upper=3)
        assert 1 <= min(drawn) < 1.01
        assert 2.99 < max(drawn) <= 3
        assert fmean(drawn) == pytest.approx(2, rel=0.02)

    def test_exponential(self) -> None:
        drawn = self.drawn("exponential", mean="2s")
        assert fmean(drawn) == pytest.approx(2, rel=0.05)
        assert median(drawn) == pytest.approx(1.386, rel=0.05)

    def test_lognormal(self) -> None:
        drawn = self.drawn("lognormal", median="500ms", sigma=1)
        assert median(drawn) == pytest.approx(0.5, rel=0.05)
        assert fmean(drawn) == pytest.approx(0.824, rel=0.1)

    def test_nothing_takes_for_ever(self) -> None:
        assert max(self.drawn("lognormal", median="300d", sigma=10)) < 1e9


class TestRefusals:
    def test_say_what_the_system_itself_would_say(self) -> None:
        assert met("unauthorized") == Send(
            Problem(401, "expired", headers={"WWW-Authenticate": "Bearer"}).answer("/invoices")
        )
        assert met("conflict") == Send(Problem(409, "in progress").answer("/invoices"))

    def test_redirect(self) -> None:
        assert met("redirect") == Send(Answer(307, (("Location", "/accounting/elsewhere/invoices"),)))
        answer = met("redirect", location="https://elsewhere.example/x?y=1").answer
        assert answer is not None
        assert answer.header("location") == "https://elsewhere.example/x?y=1"
        for wrong in ("", "a\r\nSet-Cookie: b", "ä", 7, "x" * 2001):
            assert "location" in refusal("redirect", location=wrong)


class TestRepetition:
    @pytest.mark.parametrize(("seen", "status"), [("first", 201), ("second", 200)])
    def test_both_arrive_and_one_is_seen(self, seen: str, status: int) -> None:
        exchange = StandIn()
        answer = met("repeated_request", exchange, answer=seen).answer
        assert exchange.done == ["proceed", "repeat"]
        assert answer is not None
        assert answer.status == status

    def test_stale_read_asks_for_the_past(self) -> None:
        exchange = StandIn()
        met("stale_read", exchange)
        assert exchange.done == ["stale"]


class TestOutage:
    def outage(self, **parameters: Any) -> CallFault:
        return CALL_FAULTS["outage"]("none", **parameters)

    def test_lasts_for_a_span_and_never_comes_back(self) -> None:
        outage = self.outage(for_="10m")
        assert not outage.meets(named=False, now=NOW)
        assert outage.meets(named=True, now=NOW)
        asyncio.run(outage.apply(StandIn()))
        assert outage.meets(named=False, now=NOW + 599.9)
        assert not outage.meets(named=False, now=NOW + 600)
        assert not outage.meets(named=True, now=NOW + 9999)

    def test_lasts_for_a_number_of_calls(self) -> None:
        outage = self.outage(calls=2)
        for _ in range(2):
            assert outage.meets(named=True, now=NOW)
            answer = asyncio.run(outage.apply(StandIn())).answer
            assert answer is not None
            assert answer.status == 503
        assert not outage.meets(named=True, now=NOW)

    def test_can_be_silent_or_abrupt(self) -> None:
        assert met("outage", how="timeout") == Silence()
        assert met("outage", how="reset") == Reset()
        answer = met("outage", status=502).answer
        assert answer is not None
        assert answer.status == 502

    def test_parameters(self) -> None:
        assert "not both" in refusal("outage", **{"for": "1m", "calls": 3})
        assert "no status" in refusal("outage", how="reset", status=503)
        assert "none of server_error, timeout, reset" in refusal("outage", how="fire")
        assert "known are: calls, for, how, status" in refusal("outage", span=3)
        assert "whole number from 1" in refusal("outage", calls=0)


class TestSchemaDrift:
    def drifted(self, document: Any, **parameters: Any) -> Any:
        drift = Drift.parse(parameters.get("add"), parameters.get("rename"), parameters.get("remove"))
        changed = drift.change(document)
        return document if changed else None

    def test_adds(self) -> None:
        assert self.drifted({"a": 1}) == {"a": 1, "added_by_drift": True}
        assert self.drifted({"a": {"b": 1}}, add={"/a/c": [1], "d": None}) == {"a": {"b": 1, "c": [1]}, "d": None}

    def test_renames_in_place(self) -> None:
        document = self.drifted({"a": 1, "b": 2, "c": 3}, rename={"/b": "x"})
        assert list(document.items()) == [("a", 1), ("x", 2), ("c", 3)]
        assert self.drifted({"a": 1, "b": 2}, rename={"a": "b"}) == {"b": 1}

    def test_removes(self) -> None:
        assert self.drifted({"a": 1, "b": 2}, remove="/b") == {"a": 1}
        assert self.drifted({"a": {"b/c": 1, "~": 2}}, remove=["/a/b~1c", "/a/~0"]) == {"a": {}}

    def test_reaches_into_arrays(self) -> None:
        document = {"items": [{"x": 1}, {"x": 2}, 3]}
        assert self.drifted(json.loads(json.dumps(document)), remove="/items/1/x") == {"items": [{"x": 1}, {}, 3]}
        assert self.drifted(document, rename={"/items/*/x": "y"}) == {"items": [{"y": 1}, {"y": 2}, 3]}

    @pytest.mark.parametrize("document", [None, [], 3, {}, {"a": 1}, {"items": []}])
    def test_what_is_not_there_does_not_change(self, document: Any) -> None:
        assert self.drifted(document, remove=["/b", "/items/0/x", "/items/*/x", "/a/b"], rename={"/x/y": "z"}) is None

    def test_an_unchanged_answer_stays_the_same(self) -> None:
        outcome = met("schema_drift", remove="/nowhere")
        assert isinstance(outcome, Send)
        assert outcome.answer is GOOD

    def test_parameters(self) -> None:
        assert "write /a/b" in refusal("schema_drift", remove="a/b")
        assert "neither a JSON pointer nor a list" in refusal("schema_drift", remove=7)
        assert "not a mapping" in refusal("schema_drift", add=["/a"])
        assert "not a field's name" in refusal("schema_drift", rename={"/a": "/b"})
        assert "not a JSON pointer" in refusal("schema_drift", remove=[""])


@pytest.mark.parametrize("name", sorted(CALL_FAULTS))
def test_impossible_effects_are_refused(name: str) -> None:
    for effect in {"none", "applied"} - CALL_FAULTS[name].effects:
        chosen: Any = effect
        with pytest.raises(PlanError, match=f"{name} cannot have effect: {effect}"):
            build(Injection(CallPoint("a", "b"), name, chosen))


@pytest.mark.parametrize("odd", ["effect", "self", "name", 1, ""])
def test_odd_parameters_are_refused_like_any_other(odd: Any) -> None:
    for name in CALL_FAULTS:
        with pytest.raises(PlanError, match="takes no"):
            build(Injection(CallPoint("a", "b"), name, min(CALL_FAULTS[name].effects), {odd: 1}))
