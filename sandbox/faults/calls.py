"""Faults on calls."""

from __future__ import annotations

import math
from email.utils import formatdate
from typing import Any, Final

import orjson

from sandbox.errors import PlanError
from sandbox.faults.base import CallFault, Cut, Drip, Exchange, Outcome, Reset, Send, Silence
from sandbox.faults.drift import Drift
from sandbox.faults.latency import Latency
from sandbox.faults.parameters import choice, text, whole
from sandbox.model import JSON, Answer, Problem
from sandbox.plan import seconds

_FAILURES: Final = (500, 502, 503, 504)
_USUAL_DELAY: Final = 2.0
_NOT_JSON: Final = "<html><body><h1>It works!</h1></body></html>"


class NoFault(CallFault):
    """The call takes its normal course."""

    name = "none"

    async def apply(self, exchange: Exchange) -> Outcome:
        return Send(await exchange.proceed())


class RateLimited(CallFault):
    """429 with Retry-After (RFC 9110, section 10.2.3), as if the quota were used up.

    Args of `with:`
        retry_after: A span, rounded up to whole seconds.
        format: Of Retry-After: `seconds` or `http-date`.
    """

    name = "rate_limited"

    def configure(self, retry_after: Any = 5, format: Any = "seconds") -> None:  # noqa: A002 - the plan's word
        self.wait = math.ceil(seconds(retry_after, "retry_after"))
        self.format = choice(format, "format", ("seconds", "http-date"))

    async def apply(self, exchange: Exchange) -> Outcome:
        problem = exchange.over_quota(self.wait)
        if self.format == "http-date":
            problem.headers["Retry-After"] = formatdate(math.ceil(exchange.now) + self.wait, usegmt=True)
        return Send(exchange.refuse(problem))


class ServerError(CallFault):
    """500, 502, 503 or 504 as problem+json; with `effect: applied` the work was done all the same.

    Args of `with:`
        status: 500 when left out.
        retry_after: A span for a Retry-After header, rounded up to whole seconds.
    """

    name = "server_error"
    effects = frozenset({"none", "applied"})

    def configure(self, status: Any = 500, retry_after: Any = None) -> None:
        self.status = choice(status, "status", _FAILURES)
        self.headers = (
            {} if retry_after is None else {"Retry-After": str(math.ceil(seconds(retry_after, "retry_after")))}
        )

    async def apply(self, exchange: Exchange) -> Outcome:
        if self.effect == "applied":
            await exchange.proceed()
        return Send(exchange.refuse(_failure(self.status, self.headers)))


class Timeout(CallFault):
    """Nothing comes until the caller gives up; with `effect: applied` the work was done all the same."""

    name = "timeout"
    effects = frozenset({"none", "applied"})

    async def apply(self, exchange: Exchange) -> Outcome:
        return Silence(await exchange.proceed() if self.effect == "applied" else None)


class ConnectionReset(CallFault):
    """The connection ends with a TCP RST; with `effect: applied` the work was done all the same."""

    name = "reset"
    effects = frozenset({"none", "applied"})

    async def apply(self, exchange: Exchange) -> Outcome:
        return Reset(await exchange.proceed() if self.effect == "applied" else None)


class Truncated(CallFault):
    """The work is done, but the connection ends within the body of the answer.

    Args of `with:`
        at: How many bytes of the body arrive, at most all but the last; half of them when left out.
    """

    name = "truncated"
    effects = frozenset({"applied"})

    def configure(self, at: Any = None) -> None:
        self.at = None if at is None else whole(at, "at")

    async def apply(self, exchange: Exchange) -> Outcome:
        answer = await exchange.proceed()
        length = len(answer.body)
        return Cut(answer, length // 2 if self.at is None else max(0, min(self.at, length - 1)))


class Malformed(CallFault):
    """The work is done and the status is right, but the body is not the JSON that its content type promises.

    Args of `with:`
        body: The text to send instead; a page of HTML when left out.
    """

    name = "malformed"
    effects = frozenset({"applied"})

    def configure(self, body: Any = _NOT_JSON) -> None:
        if not isinstance(body, str) or _is_json(body):
            raise PlanError(f"body: {body!r:.60} is not a text other than JSON", 'write a text such as {"id": ')
        self.body = body.encode("utf-8", "replace")

    async def apply(self, exchange: Exchange) -> Outcome:
        answer = await exchange.proceed()
        # An answer that by its status has no body could not show one either.
        status = 200 if answer.status in (204, 304) else answer.status
        headers = [(name, value) for name, value in answer.headers if name.lower() != "content-type"]
        return Send(Answer(status, (("content-type", JSON), *headers), self.body))


class Slow(CallFault):
    """The right answer, late: after a fixed or a drawn delay, or dripped. The work is done when the call arrives.

    Args of `with:`
        delay: A span; 2 s when neither `distribution` nor `drip` is given.
        distribution: Instead of `delay`: `uniform` (`lower`, `upper`), `exponential` (`mean`) or `lognormal`
            (`median`, `sigma`), drawn for each call from its own random source.
        drip: The body comes in pieces, one at the end of each such span; the headers come at once.
        size: Bytes of a piece.
    """

    name = "slow"
    effects = frozenset({"applied"})

    def configure(
        self,
        delay: Any = None,
        distribution: Any = None,
        lower: Any = None,
        upper: Any = None,
        mean: Any = None,
        median: Any = None,
        sigma: Any = None,
        drip: Any = None,
        size: Any = 1,
    ) -> None:
        parameters = {"lower": lower, "upper": upper, "mean": mean, "median": median, "sigma": sigma}
        given = {name: value for name, value in parameters.items() if value is not None}
        if delay is None and distribution is None and drip is None:
            delay = _USUAL_DELAY
        self.latency = Latency.parse(delay, distribution, given)
        self.every = None if drip is None else seconds(drip, "drip")
        self.size = whole(size, "size", least=1)

    async def apply(self, exchange: Exchange) -> Outcome:
        answer = await exchange.proceed()
        await exchange.pause(self.latency.draw(exchange.chance))
        return Send(answer) if self.every is None else Drip(answer, self.size, self.every)


class Unauthorized(CallFault):
    """401, as if the credential had expired."""

    name = "unauthorized"

    async def apply(self, exchange: Exchange) -> Outcome:
        return Send(exchange.refuse(exchange.unauthorized()))


class Conflict(CallFault):
    """409, as if a request with the same idempotency key were still in progress."""

    name = "conflict"

    async def apply(self, exchange: Exchange) -> Outcome:
        return Send(exchange.refuse(exchange.in_progress()))


class Redirect(CallFault):
    """307 to another address.

    Args of `with:`
        location: Where to; when left out, a place at the same system where nothing is.
    """

    name = "redirect"

    def configure(self, location: Any = None) -> None:
        self.location = None if location is None else text(location, "location")

    async def apply(self, exchange: Exchange) -> Outcome:
        return Send(Answer(307, (("Location", self.location or exchange.elsewhere),)))


class StaleRead(CallFault):
    """A read sees the state as it was before the last change of its business key; it leaves nothing either way."""

    name = "stale_read"
    effects = frozenset({"none", "applied"})
    reads_only = True

    async def apply(self, exchange: Exchange) -> Outcome:
        return Send(await exchange.stale())


class RepeatedRequest(CallFault):
    """The network hands the same request over twice, one right after the other.

    Args of `with:`
        answer: Which one the caller sees: `first` or `second`.
    """

    name = "repeated_request"
    effects = frozenset({"applied"})

    def configure(self, answer: Any = "first") -> None:
        self.answer = choice(answer, "answer", ("first", "second"))

    async def apply(self, exchange: Exchange) -> Outcome:
        first = await exchange.proceed()
        second = await exchange.repeat()
        return Send(first if self.answer == "first" else second)


class Outage(CallFault):
    """From the first call that its point names, every call to the system fails for a while. It happens once.

    Args of `with:`
        for: How long, as a span of the world's clock; 1 min when neither this nor `calls` is given.
        calls: How many calls fail, the first included.
        how: `server_error`, `timeout` or `reset`.
        status: Of a server error; 503 when left out.
    """

    name = "outage"

    def configure(self, for_: Any = None, calls: Any = None, how: Any = "server_error", status: Any = None) -> None:
        if for_ is not None and calls is not None:
            raise PlanError("with: an outage has for: or calls:, not both", "leave one of them out")
        self.span = seconds(60.0 if for_ is None else for_, "for") if calls is None else math.inf
        self.left: float = math.inf if calls is None else whole(calls, "calls", least=1)
        self.how = choice(how, "how", ("server_error", "timeout", "reset"))
        if status is not None and how != "server_error":
            raise PlanError(f"status: an outage by {how} has no status", "leave it out, or write how: server_error")
        self.status = choice(503 if status is None else status, "status", _FAILURES)
        self.ends: float | None = None

    def meets(self, named: bool, now: float) -> bool:
        return named if self.ends is None else self.left > 0 and now < self.ends

    async def apply(self, exchange: Exchange) -> Outcome:
        if self.ends is None:
            self.ends = exchange.now + self.span
        self.left -= 1
        if self.how == "timeout":
            return Silence()
        if self.how == "reset":
            return Reset()
        return Send(exchange.refuse(_failure(self.status, {})))


class SchemaDrift(CallFault):
    """The work is done, but the answer has an added field, or one renamed or removed.

    Args of `with:` (fields by JSON pointer, RFC 6901, or by their bare name; `*` stands for each item of an array)
        add: `{/pointer: value}`.
        rename: `{/pointer: new name}`.
        remove: A pointer or a list of them.

    When nothing is given, a field `added_by_drift` is added at the top.
    """

    name = "schema_drift"
    effects = frozenset({"applied"})

    def configure(self, add: Any = None, rename: Any = None, remove: Any = None) -> None:
        self.drift = Drift.parse(add, rename, remove)

    async def apply(self, exchange: Exchange) -> Outcome:
        answer = await exchange.proceed()
        document = answer.json()
        if not self.drift.change(document):
            return Send(answer)
        return Send(Answer(answer.status, answer.headers, orjson.dumps(document)))


def _failure(status: int, headers: dict[str, str]) -> Problem:
    return Problem(status, "this failure is injected", headers=headers)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
