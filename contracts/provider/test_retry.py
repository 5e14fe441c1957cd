"""The retry contract: how long to wait is true, and an answer that says "nothing happened" has left no effect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sandbox.forms import FORM
from sandbox.model import Answer
from sandbox.probe import Provider, Request, Workbench, refusal_types
from sandbox.spec import Operation

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
# More than this is no limit that a test can run into.
MOST_CALLS = 2000
QUOTA = re.compile(r"""^"[^"]+";q=(?P<quota>\d+);w=(?P<window>\d+)""")
LEFT = re.compile(r"""^"[^"]+";r=(?P<left>\d+);t=(?P<reset>\d+)""")


def limited(operation: Operation) -> bool:
    """Whether it has a rate limit and is easy to call often."""
    return operation.rate_limit is not None and operation.method == "GET" and "{" not in operation.path


def exhaust(provider: Provider, request: Request) -> tuple[list[Answer], Answer]:
    """Call until the limit refuses: the answers before, and the refusal."""
    passed: list[Answer] = []
    while len(passed) < MOST_CALLS:
        answer = provider.send(request)
        if answer.status == 429:
            return passed, answer
        passed.append(answer)
    pytest.fail(f"{MOST_CALLS} calls were answered, though the specification declares a rate limit")


@pytest.mark.rate_limits
@pytest.mark.mock_only("it would use a real quota up, and time has to pass")
@pytest.mark.operations.with_args(limited)
def test_retry_after_is_true(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = bench.request(operation)
    assert provider.world is not None
    provider.world.freeze()
    _, refused = exhaust(provider, request)
    assert refused.content_type in refusal_types(operation, refused.status)
    wait = refused.header("retry-after")
    assert wait is not None
    assert wait.isdecimal(), "Retry-After is to be in seconds"
    assert int(wait) > 0
    if int(wait) > 1:
        provider.world.advance(int(wait) - 1.0)
        assert provider.send(request).status == 429, "it could have been less"
        provider.world.advance(1.0)
    else:
        provider.world.advance(float(wait))
    assert provider.send(request).status == 200


@pytest.mark.rate_limits
@pytest.mark.mock_only("it would use a real quota up")
@pytest.mark.operations.with_args(limited)
def test_the_rate_limit_headers_are_true(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = bench.request(operation)
    assert provider.world is not None
    provider.world.freeze()
    passed, refused = exhaust(provider, request)
    told = [(QUOTA.match(a.header("ratelimit-policy") or ""), LEFT.match(a.header("ratelimit") or "")) for a in passed]
    assert all(policy and left for policy, left in told), "RateLimit-Policy and RateLimit are due on each answer"
    remaining = [int(left["left"]) for _, left in told if left]
    assert remaining == sorted(remaining, reverse=True)
    assert remaining[-1] == 0, "calls were left, and yet it refused"
    assert len(set(remaining)) == len(remaining), "a call that was not counted"
    last = LEFT.match(refused.header("ratelimit") or "")
    assert last is not None
    assert int(last["reset"]) == int(refused.header("retry-after") or -1)


def refusals(request: Request) -> Iterator[tuple[str, Request, bool]]:
    """Name, request, and whether the caller says who it is."""
    if request.operation.security:
        yield "unknown caller", request, False
    if request.operation.body is not None:
        media = request.operation.body.media(request.content_type)
        # Nearly everything is a form, but not what is no UTF-8; and a file is whatever it is.
        if request.content_type == FORM:
            yield "malformed body", replace(request, body=b"a=%ff"), True
        elif media is not None and media.is_json:
            yield "malformed body", replace(request, body=b'{"a":'), True
            if media.validator is not None and media.validator.errors(["no", "object"]):
                yield "wrong type", replace(request, body=["no", "object"]), True
        if request.operation.body.media("application/x-contract") is None:
            yield "wrong media type", replace(request, body=b"<a/>", content_type="application/x-contract"), True
    if request.operation.accepts_if_match:
        yield "stale version", request.with_headers(if_match='"never-was"'), True
    if request.operation.idempotency == "required":
        yield "missing key", request.with_headers(idempotency_key=None), True


@pytest.mark.mock_only("its records are looked at")
@pytest.mark.operations(lambda operation: operation.method in UNSAFE)
def test_a_refusal_leaves_no_effect(provider: Provider, bench: Workbench, operation: Operation) -> None:
    if operation.id == provider.spec.token_operation:
        pytest.skip("it keeps no records")
    request = bench.request(operation)
    assert provider.world is not None
    before = provider.world.state(provider.name)
    deliveries = provider.world.deliveries()
    for name, refused, known in refusals(request):
        answer = provider.send(refused, "integrator" if known else "nobody")
        assert 400 <= answer.status < 500, f"{name}: {answer.status}"
        assert answer.content_type in refusal_types(operation, answer.status), name
        if answer.status == 401:
            assert answer.header("www-authenticate"), name
        assert provider.world.state(provider.name) == before, (
            f"{name}: refused with {answer.status}, but it took effect"
        )
        assert provider.world.deliveries() == deliveries, f"{name}: an event was sent all the same"
    assert 200 <= provider.send(request).status < 300, "the right request is refused after the wrong ones"


@pytest.mark.mock_only("it places faults")
@pytest.mark.operations(lambda operation: operation.method in UNSAFE)
@pytest.mark.parametrize("fault", ["rate_limited", "server_error", "conflict"])
def test_an_error_that_says_nothing_happened(
    provider: Provider, bench: Workbench, operation: Operation, fault: str
) -> None:
    if operation.id == provider.spec.token_operation:
        pytest.skip("it keeps no records")
    request = bench.request(operation)
    assert provider.world is not None
    before = provider.world.state(provider.name)
    provider.world.inject(provider.name, operation.id, fault, "none", next_call=True)
    answer = provider.send(request)
    assert answer.status in {429, 500, 409}
    assert provider.world.state(provider.name) == before
    assert 200 <= provider.send(request).status < 300
