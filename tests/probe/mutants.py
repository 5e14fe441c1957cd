"""Ways to break the mocks, each with the test that is to catch it: what the suites are worth."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import orjson

from sandbox import engine, gateway, guard, idempotency, outbox, pages, preconditions, ratelimit, request
from sandbox.model import Answer, Problem
from sandbox.signing import sign
from sandbox.system import Collection, System

Break = Callable[[], None]
MUTANTS: dict[str, tuple[str, str, str, Break]] = {}


def mutant(system_: str, suite: str, caught_by: str) -> Callable[[Break], Break]:
    """Enter a way to break the mocks, and which test of which suite is to catch it on which system."""

    def enter(apply: Break) -> Break:
        name = apply.__name__.replace("_", "-")
        MUTANTS[name] = (system_, suite, caught_by, apply)
        return apply

    return enter


def _set(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Have `around(original, *arguments)` called in place of a function."""
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: around(original, *args, **kwargs))


@mutant("accounting", "idempotency", "test_a_repeated_request_gets_the_first_answer")
def books_twice_for_one_key() -> None:
    _set(idempotency, "recall", lambda *_: None)
    _set(idempotency, "keep", lambda *_: None)


@mutant("shipping", "idempotency", "test_a_repeated_request_gets_the_first_answer")
def does_not_say_that_it_replays() -> None:
    _set(idempotency, "REPLAYED", ("X-Replayed", "yes"))


@mutant("crm", "idempotency", "test_a_repeated_request_gets_the_first_answer")
def replays_with_200() -> None:
    def plain(original: Any, *args: Any) -> Any:
        stored = original(*args)
        return stored if stored is None else dataclasses.replace(stored, status=200)

    _wrap(idempotency, "recall", plain)


@mutant("accounting", "idempotency", "test_another_payload_is_refused")
def takes_a_key_for_any_payload() -> None:
    _wrap(idempotency, "claim", lambda original, *args: dataclasses.replace(original(*args), fingerprint=b"same"))


@mutant("accounting", "idempotency", "test_a_missing_key_is_refused")
def needs_no_key() -> None:
    _wrap(
        engine.Engine,
        "_claim",
        lambda original, self, exchange, operation: original(
            self, exchange, dataclasses.replace(operation, idempotency="optional")
        ),
    )


@mutant("shop", "idempotency", "test_keys_of_another_principal_are_others")
def shares_keys_between_principals() -> None:
    _wrap(idempotency, "claim", lambda original, _principal, *args: original("everybody", *args))


@mutant("crm", "idempotency", "test_a_key_serves_one_operation")
def shares_keys_between_operations() -> None:
    def claim(original: Any, principal: str, name: str, _operation: str, *args: Any) -> Any:
        return original(principal, name, "any", *args)

    _wrap(idempotency, "claim", claim)


@mutant("shipping", "idempotency", "test_a_key_expires")
def keeps_keys_for_ever() -> None:
    _set(idempotency, "LIFETIME", 1e9)


@mutant("shop", "idempotency", "test_a_key_expires")
def forgets_keys_after_an_hour() -> None:
    _set(idempotency, "LIFETIME", 3600.0)


@mutant("crm", "idempotency", "test_quoted_and_bare_are_one_key")
def takes_quotes_for_a_part_of_the_key() -> None:
    for module in (engine.idempotency, request):
        _set(module, "normal_key", str.strip)


@mutant("crm", "idempotency", "test_a_business_refusal_is_kept")
def keeps_no_refusals() -> None:
    _set(idempotency, "storable", lambda status: status < 300)


@mutant("accounting", "idempotency", "test_the_order_of_the_fields_is_no_difference")
def compares_bytes_instead_of_payloads() -> None:
    def claim(original: Any, *args: Any) -> Any:
        return dataclasses.replace(original(*args), fingerprint=orjson.dumps(args[-1]))

    _wrap(idempotency, "claim", claim)


@mutant("accounting", "retry", "test_retry_after_is_true")
def asks_to_come_back_too_soon() -> None:
    _wrap(ratelimit.Quota, "problem", lambda original, self: original(dataclasses.replace(self, reset=self.reset / 3)))


@mutant("shipping", "retry", "test_retry_after_is_true")
def asks_to_wait_longer_than_needed() -> None:
    _wrap(ratelimit.Quota, "problem", lambda original, self: original(dataclasses.replace(self, reset=self.reset * 3)))


@mutant("shipping", "retry", "test_the_rate_limit_headers_are_true")
def shows_more_quota_than_there_is() -> None:
    _wrap(
        ratelimit.Quota,
        "headers",
        lambda original, self: original(dataclasses.replace(self, remaining=self.remaining + 5)),
    )


@mutant("shop", "retry", "test_a_refusal_leaves_no_effect")
def does_not_say_how_to_sign_in() -> None:
    def bare(original: Any, *args: Any) -> Problem:
        problem: Problem = original(*args)
        problem.headers = {}
        return problem

    _wrap(guard, "unauthorized", bare)


@mutant("shop", "retry", "test_a_refusal_leaves_no_effect")
def changes_what_the_caller_has_not_seen() -> None:
    _set(engine, "check_if_match", lambda *_: None)


@mutant("crm", "retry", "test_a_refusal_leaves_no_effect")
def books_before_it_checks() -> None:
    def read(original: Any, exchange: Any, operation: Any) -> None:
        if operation.id == "create_activity":
            transaction = exchange.world.transaction()
            collection = Collection(System(exchange, transaction), "activities", None, frozenset())
            collection.add({"type": "early"})
            transaction.commit()
        original(exchange, operation)

    _wrap(gateway, "read", read)


@mutant("accounting", "state", "test_the_records_are_what_the_model_says[accounting.create_invoice]")
def skips_a_record_between_pages() -> None:
    _wrap(pages, "encode_cursor", lambda original, seq: original(seq + 1))


@mutant("shop", "state", "test_the_records_are_what_the_model_says[shop.place_order]")
def shows_a_record_on_two_pages() -> None:
    _wrap(pages, "encode_cursor", lambda original, seq: original(seq - 1))


@mutant("crm", "state", "test_the_records_are_what_the_model_says[crm.create_customer]")
def has_an_etag_that_never_changes() -> None:

    for module in (preconditions, engine):
        _set(module, "entity_tag", lambda _version: '"v1"')


@mutant("crm", "state", "test_the_records_are_what_the_model_says[crm.create_customer]")
def merges_where_it_should_replace() -> None:
    def save(original: Any, self: Collection, record: Any) -> Any:
        stored = self.get(str(record[self.id_field])) or {}
        return original(self, {**stored, **record})

    _wrap(Collection, "save", save)


@mutant("crm", "state", "test_the_records_are_what_the_model_says[crm.create_customer]")
def deletes_nothing() -> None:
    _set(Collection, "remove", lambda self, id: self.require(id))  # noqa: A006 - the method's own name


@mutant("accounting", "state", "test_the_records_are_what_the_model_says[accounting.create_invoice]")
def forgets_what_it_has_booked() -> None:
    def add(original: Any, self: Collection, record: Any) -> Any:
        kept = original(self, record)
        if self._name == "invoices":
            self._system.transaction.delete(self.record(kept["id"]), frozenset())
        return kept

    _wrap(Collection, "add", add)


@mutant("shop", "webhooks", "test_every_callback_is_delivered_signed_and_valid")
def signs_the_parsed_body() -> None:
    def seal(secret: str, message: str, at: float, body: bytes) -> Any:
        return sign(secret, message, at, json.dumps(json.loads(body), indent=1).encode())

    fields = {field.name: field for field in dataclasses.fields(outbox.Task)}
    assert fields["seal"].default is sign
    original = outbox.Outbox.attempt

    async def attempt(self: Any, task: Any, plain: Any = None) -> bool:
        return await original(self, dataclasses.replace(task, seal=seal), plain)

    _set(outbox.Outbox, "attempt", attempt)


@mutant("shop", "webhooks", "test_every_callback_is_delivered_signed_and_valid")
def never_tells_of_stock() -> None:
    def events(original: Any, self: Any, exchange: Any, operation: Any, *rest: Any) -> Any:
        return ([], []) if operation.id == "set_stock_level" else original(self, exchange, operation, *rest)

    _wrap(engine.Engine, "_events", events)


@mutant("shipping", "webhooks", "test_a_failed_delivery_comes_again")
def delivers_once_and_never_again() -> None:
    _set(outbox, "SCHEDULE", ())


@mutant("shop", "webhooks", "test_a_failed_delivery_comes_again")
def gives_each_try_a_new_id() -> None:
    original = outbox.Outbox.attempt

    async def attempt(self: Any, task: Any, plain: Any = None) -> bool:
        again = dataclasses.replace(task, event=f"{task.event}-{task.attempt}")
        return await original(self, again, plain or task)

    _set(outbox.Outbox, "attempt", attempt)


@mutant("shipping", "webhooks", "test_gone_ends_the_subscription")
def keeps_knocking_after_410() -> None:
    def settle(original: Any, self: Any, task: Any, plain: Any, answer: Answer | None) -> None:
        gone = answer is not None and answer.status == 410
        original(self, task, plain, Answer(500) if gone else answer)

    _wrap(outbox.Outbox, "_settle", settle)


@mutant("shop", "schema", "test_every_operation_keeps_to_its_schema")
def answers_what_no_schema_allows() -> None:
    def run(original: Any, self: Any, exchange: Any, operation: Any, transaction: Any) -> Any:
        answer, *rest = original(self, exchange, operation, transaction)
        if operation.id == "get_product" and answer.status == 200:
            answer = dataclasses.replace(answer, body=b'{"sku":7}')
        return (answer, *rest)

    _wrap(engine.Engine, "_run", run)
