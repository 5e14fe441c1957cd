"""Idempotency-Key (IETF draft-ietf-httpapi-idempotency-key-header), for every operation that declares a policy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sandbox.model import Answer, Json
from sandbox.probe import Provider, Request, Workbench, refusal_types, refused_as
from sandbox.spec import Operation

AT_ONCE = 50
LONGEST_KEY = 255
LIFETIME = 24 * 3600.0

pytestmark = [pytest.mark.operations(lambda operation: operation.idempotency != "none"), pytest.mark.writes]


class Effects:
    """How many records an operation of a mock makes; of a real provider nobody can count them."""

    def __init__(self, provider: Provider, operation: Operation) -> None:
        self._provider = provider
        self._operation = operation
        self._before = self._size()

    def _size(self) -> int:
        world, meaning = self._provider.world, self._operation.meaning
        sizes = {} if world is None else world.sizes(self._provider.name)
        return sizes.get(meaning.collection, 0) if meaning.action == "create" else sum(sizes.values())

    def are(self, number: int) -> bool:
        """Whether so many effects were seen; a change or an end of a record is one that cannot be counted."""
        meaning, world = self._operation.meaning, self._provider.world
        # Of several records in one request, some may be known already.
        one = meaning.action == "create" and not meaning.body_at.many
        counted = world is not None and (number == 0 or one)
        return not counted or self._size() - self._before == number


def keyed(request: Request, key: str) -> Request:
    return request.with_headers(idempotency_key=key)


def replayed(answer: Answer) -> bool:
    return (answer.header("idempotent-replayed") or "").lower() == "true"


def changed(request: Request) -> Request:
    """The same request with another payload that is as valid."""
    if isinstance(request.body, bytes):
        return replace(request, body=request.body + b"!")
    media = request.operation.body.media(request.content_type) if request.operation.body else None
    assert media is not None
    if not isinstance(request.body, dict):
        pytest.skip("its body has no fields")
    for name, value in request.body.items():
        for other in _others(value):
            body: dict[str, Json] = {**request.body, name: other}
            if media.validator is None or not media.validator.errors(body):
                return replace(request, body=body)
    pytest.skip("no other valid payload is known")


def _others(value: Any) -> list[Json]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    if isinstance(value, str):
        user, at, host = value.partition("@")
        return [f"{user}x{at}{host}", f"{value}x"]
    return []


def broken(request: Request) -> Request:
    """The same request with a payload that the schema does not allow."""
    media = request.operation.body.media(request.content_type) if request.operation.body else None
    wrong: list[Json] = ["not", "an", "object"]
    if isinstance(request.body, bytes) or media is None or media.validator is None or not media.validator.errors(wrong):
        pytest.skip("no payload is invalid")
    return replace(request, body=wrong)


def test_a_repeated_request_gets_the_first_answer(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = keyed(bench.request(operation), bench.key("repeated"))
    effects = Effects(provider, operation)
    first = provider.send(request)
    assert 200 <= first.status < 300
    assert not replayed(first)
    for _ in range(2):
        again = provider.send(request)
        assert (again.status, again.body) == (first.status, first.body)
        assert replayed(again), "Idempotent-Replayed: true is missing"
    assert effects.are(1)


def test_the_order_of_the_fields_is_no_difference(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = keyed(bench.request(operation), bench.key("order"))
    if not isinstance(request.body, dict):
        pytest.skip("its body has no fields")
    first = provider.send(request)
    again = provider.send(replace(request, body=dict(reversed(request.body.items()))))
    assert (again.status, again.body) == (first.status, first.body)


def test_another_payload_is_refused(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = keyed(bench.request(operation), bench.key("reused"))
    other = changed(request)
    assert 200 <= provider.send(request).status < 300
    effects = Effects(provider, operation)
    refused = provider.send(other)
    assert refused.status in refused_as(operation, 422)
    assert refused.content_type in refusal_types(operation, refused.status)
    assert effects.are(0)


@pytest.mark.operations(lambda operation: operation.idempotency == "required")
def test_a_missing_key_is_refused(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = bench.request(operation).with_headers(idempotency_key=None)
    effects = Effects(provider, operation)
    refused = provider.send(request)
    assert refused.status in refused_as(operation, 400)
    assert refused.content_type in refusal_types(operation, refused.status)
    assert effects.are(0)


def test_many_at_once_have_one_effect(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = keyed(bench.request(operation), bench.key("at-once"))
    effects = Effects(provider, operation)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _: provider.send(request), range(AT_ONCE)))
    done = [answer for answer in answers if 200 <= answer.status < 300]
    assert {answer.status for answer in answers} - {answer.status for answer in done} <= refused_as(operation, 409)
    assert done
    assert len({answer.body for answer in done}) == 1
    assert sum(not replayed(answer) for answer in done) == 1
    assert effects.are(1)


def test_a_business_refusal_is_kept(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = bench.request(operation)
    provider.send(keyed(request, bench.key("first")))
    refused = provider.send(keyed(request, bench.key("second")))
    if refused.status < 400:
        pytest.skip("the same request with a new key is no refusal here")
    assert 400 <= refused.status < 500
    again = provider.send(keyed(request, bench.key("second")))
    assert (again.status, again.body) == (refused.status, refused.body)
    assert replayed(again)


def test_an_invalid_request_leaves_its_key_free(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = keyed(bench.request(operation), bench.key("invalid"))
    assert provider.send(broken(request)).status in refused_as(operation, 400)
    done = provider.send(request)
    assert 200 <= done.status < 300
    assert not replayed(done)


def test_an_unknown_caller_leaves_the_key_free(provider: Provider, bench: Workbench, operation: Operation) -> None:
    if not operation.security:
        pytest.skip("open to all")
    request = keyed(bench.request(operation), bench.key("unknown"))
    assert provider.send(request, "nobody").status in refused_as(operation, 401)
    done = provider.send(request)
    assert 200 <= done.status < 300
    assert not replayed(done)


def test_a_wrong_media_type_leaves_the_key_free(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = keyed(bench.request(operation), bench.key("media"))
    assert provider.send(replace(request, content_type="text/csv", body=b"a,b")).status in refused_as(operation, 415)
    assert 200 <= provider.send(request).status < 300


@pytest.mark.mock_only("it places a fault")
@pytest.mark.parametrize(("effect", "kept"), [("none", False), ("applied", True)])
def test_an_answer_lost_on_its_way_is_no_answer(
    provider: Provider, bench: Workbench, operation: Operation, effect: str, kept: bool
) -> None:
    request = keyed(bench.request(operation), bench.key("lost"))
    effects = Effects(provider, operation)
    assert provider.world is not None
    provider.world.inject(provider.name, operation.id, "server_error", effect, next_call=True)
    lost = provider.send(request)
    done = provider.send(request)
    assert 200 <= done.status < 300
    if lost.status >= 500:
        assert replayed(done) == kept
    assert effects.are(1)


@pytest.mark.mock_only("a day has to pass")
def test_a_key_expires(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = keyed(bench.request(operation), bench.key("expiring"))
    assert provider.world is not None
    provider.world.freeze()
    first = provider.send(request)
    provider.world.advance(LIFETIME - 60)
    assert replayed(provider.send(request))
    provider.world.advance(61)
    later = provider.send(request)
    assert not replayed(later)
    assert later.status == first.status or 400 <= later.status < 500


def test_the_longest_key(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = bench.request(operation)
    refused = provider.send(keyed(request, bench.key("long").ljust(LONGEST_KEY + 1, "k")))
    assert refused.status in refused_as(operation, 400)
    assert 200 <= provider.send(keyed(request, bench.key("long").ljust(LONGEST_KEY, "k"))).status < 300


def test_quoted_and_bare_are_one_key(provider: Provider, bench: Workbench, operation: Operation) -> None:
    request = bench.request(operation)
    first = provider.send(keyed(request, f'"{bench.key("quoted")}"'))
    again = provider.send(keyed(request, bench.key("quoted")))
    assert (again.status, again.body) == (first.status, first.body)
    assert replayed(again)


def test_keys_of_another_principal_are_others(provider: Provider, bench: Workbench, operation: Operation) -> None:
    if "other" not in provider.principals or not operation.security:
        pytest.skip("there is one principal only")
    request = keyed(bench.request(operation), bench.key("shared"))
    assert 200 <= provider.send(request).status < 300
    other = provider.send(changed(request), "other")
    assert other.status not in refused_as(operation, 422)
    assert not replayed(other)


def test_a_key_serves_one_operation(provider: Provider, bench: Workbench, operation: Operation) -> None:
    others = [one for one in provider.spec.operations.values() if one.idempotency != "none" and one is not operation]
    if not others:
        pytest.skip("it is the only operation that takes a key")
    mine, theirs = bench.request(operation), bench.request(others[0])
    assert 200 <= provider.send(keyed(theirs, bench.key("both"))).status < 300
    done = provider.send(keyed(mine, bench.key("both")))
    assert 200 <= done.status < 300
    assert not replayed(done)
