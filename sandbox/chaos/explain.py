"""The story of a plan in plain sentences: what customers do, what goes wrong and where, and what that breaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sandbox.chaos.scenario import Scenario, Step
from sandbox.plan import CallPoint, Injection, Occurrences, Plan, Point, Weather, share_text

_SAID: Final = {
    ("none", "none"): "nothing goes wrong",
    ("rate_limited", "none"): "it answers 429 (too many requests), to be tried again after {retry_after}",
    ("server_error", "none"): "it answers {status} and does nothing",
    ("server_error", "applied"): "it does the work, and answers {status} all the same",
    ("timeout", "none"): "it does nothing and stays silent until the caller gives up",
    ("timeout", "applied"): "it does the work, but the answer is lost: the caller waits until it gives up",
    ("reset", "none"): "the connection breaks before anything is done",
    ("reset", "applied"): "it does the work, and the connection breaks before the answer arrives",
    ("truncated", "applied"): "it does the work, but only half of the answer arrives",
    ("malformed", "applied"): "it does the work, but the answer is not JSON",
    ("slow", "applied"): "it does the work, and the answer comes late",
    ("unauthorized", "none"): "it answers 401, as if the credential had expired",
    ("conflict", "none"): "it answers 409: a request with this key is still in progress",
    ("redirect", "none"): "it answers 307 and points to another address",
    ("stale_read", "applied"): "the answer shows the state before the last change",
    ("repeated_request", "applied"): "the network hands the same request over twice",
    ("outage", "none"): "an outage begins, and every call to the system fails {span}",
    ("schema_drift", "applied"): "it does the work, but the answer has other fields than agreed",
    ("crash", "none"): "the integrator is killed before anything is done, and started again",
    (
        "crash",
        "applied",
    ): "the work is done, but the integrator is killed before it sees the answer, and started again",
}
_DELIVERED: Final = {
    "none": "nothing goes wrong",
    "duplicate": "it comes a second time {after}",
    "concurrent_duplicate": "it comes twice at the same moment",
    "drop": "it is lost and never comes",
    "delay": "it comes late{by}",
    "reorder": "a newer event overtakes it",
    "forged": "a forged event comes besides ({how}); it must be refused",
    "rotated": "it carries two signatures, of which the second is the valid one",
    "respaced": "its body has other white space, rightly signed",
    "crash": "the integrator is killed as soon as it has acknowledged it, and started again",
}


def story(plan: Plan, scenario: Scenario, titles: Mapping[str, str] | None = None) -> Iterator[str]:
    """A plan, sentence by sentence.

    Args:
        titles: What rules demand, by their ids.
    """
    if plan.description:
        yield " ".join(plan.description.split())
    yield from (_step(step) for step in scenario.steps)
    if not plan.faults and not plan.weather:
        yield "Nothing goes wrong."
    for fault in plan.faults:
        yield fault_sentence(fault)
    for rule in plan.weather:
        yield _weather(rule)
    broken = plan.expect.get("rule")
    if broken:
        demand = (titles or {}).get(broken)
        yield f"It is known to break {broken}" + (f": {demand}" if demand else ".")


def fault_sentence(fault: Injection) -> str:
    """One fault as a sentence."""
    limits = [f"at most {_times(fault.count)}"] if fault.count is not None else []
    limits += [f"until {_duration(fault.ttl)} have passed"] if fault.ttl is not None else []
    limits += ["only where the request matches"] if fault.match else []
    aside = f" ({', '.join(limits)})" if limits else ""
    return f"{_when(fault.on)}, {_what(fault)}{aside}."


def fault_label(fault: Injection) -> str:
    """One fault in a few words, for a list: `timeout, applied, on accounting.create_invoice 2025-4471`."""
    effect = ", applied" if fault.effect == "applied" else ""
    on = fault.on
    where = ".".join(part for part in (on.system, on.operation) if part) if isinstance(on, CallPoint) else on.event
    key = f" {on.key}" if on.key is not None else ""
    number = on.occurrence.to_json()
    return f"{fault.inject}{effect}, on {where}{key}{'' if number == 1 else f' #{number}'}"


def _weather(rule: Weather) -> str:
    kind = "calls" if isinstance(rule.on, CallPoint) else "deliveries"
    where = fault_label(rule.injection).rpartition(", on ")[2].partition(" #")[0]
    return f"In {share_text(rule.rate)} of the {kind} of {where}, {_what(rule.injection)}."


def _when(on: Point) -> str:
    key = "" if on.key in (None, "-") else f" for {on.key}"
    number = _ordinal(on.occurrence)
    if isinstance(on, CallPoint):
        called = f"{on.operation} of {on.system}" if on.operation else f"any operation of {on.system}"
        return f"When {called} is called{key} {number}"
    return f"When {on.event}{key} is delivered {number}"


def _ordinal(occurrence: Occurrences) -> str:
    if occurrence.last is None:
        return "at any time" if occurrence.first == 1 else f"from the {_nth(occurrence.first)} time on"
    if occurrence.first == occurrence.last:
        return f"for the {_nth(occurrence.first)} time"
    return f"for the {_nth(occurrence.first)} to the {_nth(occurrence.last)} time"


def _nth(number: int) -> str:
    words = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}
    return words.get(number, f"{number}th")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _what(fault: Injection) -> str:
    given = fault.parameters
    if not isinstance(fault.on, CallPoint):
        after = f"after {_duration(given['after'])}" if "after" in given else "later"
        by = f", by {_duration(given['by'])}" if "by" in given else ""
        how = str(given.get("how", "unsigned")).replace("_", " ")
        text = _DELIVERED.get(fault.inject, f"{fault.inject} happens")
        return text.format(after=after, by=by, how=how)
    span = f"for {_duration(given['for'])}" if "for" in given else "for a while"
    if "calls" in given:
        span = f"for {given['calls']} calls"
    text = _SAID.get((fault.inject, fault.effect), f"{fault.inject} happens")
    return text.format(
        status=given.get("status", 500), retry_after=_duration(given.get("retry_after", 5)), span=span
    ) + _drift(given)


def _drift(given: Mapping[str, Any]) -> str:
    told = [f"{field} is added" for field in given.get("add", ())]
    told += [f"{field} is now called {new}" for field, new in given.get("rename", {}).items()]
    removed = given.get("remove", ())
    told += [f"{field} is gone" for field in ([removed] if isinstance(removed, str) else removed)]
    return f" ({', '.join(told)})" if told else ""


def _duration(span: Any) -> str:
    return f"{span:g} s" if isinstance(span, (int, float)) else str(span)


def _step(step: Step) -> str:
    at = f"At {_clock(step.at)}"
    match step.action:
        case "place":
            body = step.body
            amount = f" over {body['amount_net']} {body.get('currency', 'EUR')}" if "amount_net" in body else ""
            who = body.get("customer", "a customer")
            paid = "" if body.get("paid", True) else ", not yet paid"
            return f"{at}, {who} places order {step.order}{amount}{paid}."
        case "pay":
            return f"{at}, order {step.order} is paid."
        case "cancel":
            return f"{at}, order {step.order} is cancelled."
        case "change_address":
            return f"{at}, the delivery address of order {step.order} is changed."
        case "cancel_line_item":
            return f"{at}, a line item of order {step.order} is cancelled."
        case "set_stock":
            return f"{at}, the stock of {step.order} is set to {step.body.get('level', 'another level')}."
    return f"Time passes until {_clock(step.at)}."


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
