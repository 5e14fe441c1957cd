"""Each collection against a small model of it: what was created, replaced, patched or deleted is what is read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from requests.utils import parse_header_links

from sandbox.inference import fields_of
from sandbox.inference.paging import paging_of
from sandbox.model import JSON, Answer, Json
from sandbox.probe import (
    Provider,
    Request,
    Workbench,
    can_show,
    inherited,
    record_in,
    records_in,
    refused_as,
    sent_in,
    shown_fields,
)
from sandbox.probe.target import Target
from sandbox.spec import Operation, Spec

EXAMPLES, STEPS = 12, 20
# Of so many collections each is tried as often as that; of more, each a little less.
USUAL, LEAST = 20, 3
NOBODY = "contract-nobody-0000"
ITEMS = ("read", "replace", "patch", "delete")

Document = dict[str, Any]
Make = Callable[[], Provider]


def siblings(spec: Spec, create: Operation) -> Mapping[str, Operation]:
    """What else can be done to the records that an operation creates, by action; the shortest path is the plainest."""
    found = [
        other
        for other in spec.operations.values()
        if other.meaning.collection == create.meaning.collection
        and other.path.startswith(create.path)
        and other.path.removeprefix(create.path).count("/") <= 1
        and other.meaning.action != "none"
        and (other.meaning.id_parameter is not None or other.meaning.action not in ITEMS)
    ]
    return {other.meaning.action: other for other in sorted(found, key=lambda one: -len(one.path))}


def sendable(spec: Spec, replace_: Operation | None) -> set[str]:
    """The optional fields that a replacement may have, and takes away when it has them not."""
    media = replace_.body.media("application/json") if replace_ is not None and replace_.body is not None else None
    if media is None or replace_ is None:
        return set()
    required = spec.collections[str(replace_.meaning.collection)].required
    fields = fields_of(media.schema, spec.document)
    return {name for name, schema in fields.items() if not schema.get("readOnly") and name not in required}


def is_usual(value: Json, schema: Mapping[str, Any]) -> bool:
    """Whether a value is one that the specification itself shows or lists for a field."""
    return value in (schema.get("default"), schema.get("example"), *schema.get("enum", ()))


def _nothing() -> None:
    """What is done when enough was inserted."""


class Records(RuleBasedStateMachine):
    """One collection, and what it should hold."""

    def __init__(self, provider: Provider, create: Operation) -> None:
        super().__init__()
        self.provider = provider
        self.bench = Workbench(provider)
        self.create = create
        self.actions = siblings(provider.spec, create)
        self.id_field = provider.spec.collections[str(create.meaning.collection)].id_field
        self.stamps = provider.spec.collections[str(create.meaning.collection)].stamps
        # What the system says of a record, whatever was sent.
        parent = create.meaning.parent
        self.own = {self.id_field, *self.stamps, *([] if parent is None else [parent.field])}
        self.sendable = sendable(provider.spec, self.actions.get("replace"))
        request, answer = self.bench.perform(create)
        made: Any = record_in(create, answer.json()) if answer.body else None
        if not isinstance(made, dict) or made.get(self.id_field) is None:
            pytest.skip(f"{create.id} does not answer with the {self.id_field} of what it creates")
        self.path = request.path
        # Such as the tenant's; a key is each request's own.
        self.headers = {name: value for name, value in request.headers.items() if name != "idempotency-key"}
        # Of the path, of which the records' own part is the last.
        self.given = inherited(request, create)
        self.known: dict[str, Document] = {str(made[self.id_field]): made}
        # What callers said of each record; the rest is the system's own.
        self.said: dict[str, set[str]] = {}
        self.tags: dict[str, str] = {}
        self.gone: list[str] = []
        for action in {"replace", "patch"} & self.actions.keys():
            # Whatever is made to know a body that fits is made now.
            self.bench.bodies(self.actions[action])
        if provider.world is not None:
            # What the preparation has made is there, too; what others made at a real provider is none of our business.
            self.known = {str(record[self.id_field]): record for record in self.listed(50)}

    # What is sent.
    def at(self, id_: str, action: str, **more: Any) -> Request:
        operation = self.actions[action]
        takes = JSON if operation.body is None or operation.body.media(JSON) else next(iter(operation.body.content))
        own = {} if operation.meaning.id_parameter is None else {operation.meaning.id_parameter: id_}
        asked = self.bench.address(operation, {**self.given, **own})
        headers = {**asked.headers, **self.headers}
        return replace(asked, headers=headers, content_type=takes, **more)

    def made(self) -> Answer:
        request = replace(self.bench.request(self.create), path=self.path)
        answer = self.provider.send(request)
        sent = sent_in(self.create, request.body) if not isinstance(request.body, bytes) else None
        if 200 <= answer.status < 300 and isinstance(sent, dict):
            self.said[str(record_in(self.create, answer.json())[self.id_field])] = set(sent)
        return answer

    def listed(self, limit: int, between: Callable[[], object] = lambda: None) -> list[Document]:
        """All pages, joined; something may happen after each of them."""
        operation = self.actions.get("list")
        if operation is None:
            return []
        # A real provider may hold more than anybody wants to read one by one.
        limit = limit if self.provider.world is not None else 100
        bounded = self.bounded(operation, limit)
        asked = self.bench.address(operation, self.given)
        own = {bounded: str(limit)} if bounded is not None else {}
        query, headers = {**asked.query, **own}, {**asked.headers, **self.headers}
        found: list[Document] = []
        for _ in range(200):
            answer = self.provider.send(Request(operation, asked.path, query, headers))
            assert 200 <= answer.status < 300, answer.body
            body: Any = answer.json()
            page = records_in(operation, body)
            assert bounded is None or len(page) <= limit, "a page is longer than asked for"
            found += page
            links = parse_header_links(answer.header("link") or "")
            following = next((link["url"] for link in links if link.get("rel") == "next"), None)
            if following is None:
                return found
            query = dict(parse_qsl(urlsplit(following).query))
            between()
        pytest.fail("the pages have no end")

    def bounded(self, operation: Operation, limit: int) -> str | None:
        """The parameter that makes pages so short; None where it takes no such number, or nothing leads to the next."""
        kind = self.provider.spec.collections[str(operation.meaning.collection)]
        told = [(one.name, one.location, one.schema) for one in operation.parameters]
        paging = paging_of(told, kind.fields, kind.id_field)
        fits = {one.name for one in operation.parameters if not one.validator.errors(limit)}
        return paging.limit if paging.style and paging.limit in fits else None

    def note(self, answer: Answer, action: str = "") -> str:
        body: Any = record_in(self.actions.get(action, self.create), answer.json())
        id_ = str(body[self.id_field])
        self.known[id_] = body
        if answer.header("etag"):
            self.tags[id_] = str(answer.header("etag"))
        return id_

    def noted(self, answer: Answer, id_: str, action: str) -> bool:
        """Whether an answer tells of the record, which is then noted."""
        body: Any = record_in(self.actions[action], answer.json()) if answer.body else None
        if isinstance(body, dict) and str(body.get(self.id_field)) == id_:
            self.note(answer, action)
            return True
        return False

    def same(self, read: Document, id_: str) -> None:
        """What is read is what was answered before, as far as both show it."""
        shown = self.known[id_].keys() & read.keys()
        assert {name: read[name] for name in shown} == {name: self.known[id_][name] for name in shown}

    def pick(self, data: st.DataObject) -> str:
        """One of the records; by its place, since ids differ from try to try."""
        return list(self.known)[data.draw(st.integers(0, len(self.known) - 1))]

    def body(self, data: st.DataObject, action: str) -> Json:
        bodies = self.bench.bodies(self.actions[action])
        return bodies[data.draw(st.integers(0, len(bodies) - 1))]

    # What may happen.
    @rule()
    def create_one(self) -> None:
        answer = self.made()
        if answer.status in refused_as(self.create, 409) and answer.status != 400:
            # A rule of the business, such as no more payments than are due; it must have left nothing.
            return
        assert 200 <= answer.status < 300, answer.body
        body: Any = record_in(self.create, answer.json())
        assert str(body[self.id_field]) not in self.known, "the id is taken"
        self.note(answer)
        # An example may make several at once.
        for other in records_in(self.create, answer.json()):
            self.known.setdefault(str(other[self.id_field]), other)

    @precondition(lambda self: "read" in self.actions and self.known)
    @rule(data=st.data())
    def read_one(self, data: st.DataObject) -> None:
        id_ = self.pick(data)
        answer = self.provider.send(self.at(id_, "read"))
        assert 200 <= answer.status < 300, answer.body
        body: Any = record_in(self.actions["read"], answer.json())
        self.same(body, id_)
        if answer.header("etag") and id_ in self.tags:
            assert answer.header("etag") == self.tags[id_], "the ETag changes, though the record does not"
        self.note(answer, "read")

    @precondition(lambda self: "read" in self.actions)
    @rule()
    def read_nobody(self) -> None:
        # 400 where the specification has a pattern for ids, and this is not one.
        assert self.provider.send(self.at(NOBODY, "read")).status in refused_as(self.actions["read"], 400, 404, 410)
        for id_ in self.gone[-2:]:
            assert self.provider.send(self.at(id_, "read")).status in refused_as(self.actions["read"], 404, 410)

    @precondition(lambda self: "replace" in self.actions and self.known)
    @rule(data=st.data())
    def replace_one(self, data: st.DataObject) -> None:
        id_ = self.pick(data)
        body = self.body(data, "replace")
        sent = None if isinstance(body, bytes) else sent_in(self.actions["replace"], body)
        if not isinstance(sent, dict):
            return
        request = self.at(id_, "replace", body=body)
        if self.actions["replace"].accepts_if_match and id_ in self.tags:
            stale = self.provider.send(request.with_headers(if_match='"of-another-time"'))
            assert stale.status == 412, "a change on top of an unseen version went through"
            request = request.with_headers(if_match=self.tags[id_])
        before, tag = self.known[id_], self.tags.get(id_)
        answer = self.provider.send(request)
        assert 200 <= answer.status < 300, answer.body
        if self.noted(answer, id_, "replace") and self.known[id_] != before and tag and answer.header("etag"):
            assert answer.header("etag") != tag, "the ETag stays, though the record changes"
        body = sent
        if "read" in self.actions:
            now: Any = record_in(self.actions["read"], self.provider.send(self.at(id_, "read")).json())
            self.known[id_] = now
            kept = {name: value for name, value in body.items() if name in now and name not in self.own}
            assert json.dumps({name: now[name] for name in kept}).lower() == json.dumps(kept).lower()
            said = self.sendable & self.said.get(id_, set()) & now.keys() - self.own
            usual = self.provider.spec.collections[str(self.create.meaning.collection)].fields
            left = [
                name
                for name in said
                # The system's own beginning, such as `state: draft`, may be what it was by chance.
                if name not in body and now[name] == before.get(name) and not is_usual(now[name], usual.get(name, {}))
            ]
            assert not left, f"replaced as a whole, and yet it still has {left}"
        self.said[id_] = set(body)

    @precondition(lambda self: "patch" in self.actions and self.known)
    @rule(data=st.data())
    def patch_one(self, data: st.DataObject) -> None:
        id_ = self.pick(data)
        body = self.body(data, "patch")
        sent = None if isinstance(body, bytes) else sent_in(self.actions["patch"], body)
        if not isinstance(sent, dict):
            # No merge of fields, but a list of operations, or what stands in the query.
            return
        before = self.known[id_]
        if not can_show(self.actions["patch"], before):
            # The specification says both: there are such records, and none that this answers with.
            return
        answer = self.provider.send(self.at(id_, "patch", body=body))
        assert 200 <= answer.status < 300, answer.body
        if not self.noted(answer, id_, "patch"):
            if "read" not in self.actions:
                return
            self.note(self.provider.send(self.at(id_, "read")), "read")
        self.said[id_] = self.said.get(id_, set()) | set(sent)
        stamps = {name for name, kind in self.stamps.items() if kind == "updated"}
        untouched = before.keys() - sent.keys() - stamps - {"updated_at"}
        after = self.known[id_]
        untouched &= after.keys() | shown_fields(self.actions["patch"])
        assert {name: after.get(name) for name in untouched} == {name: before[name] for name in untouched}

    @precondition(lambda self: "delete" in self.actions and self.known)
    @rule(data=st.data())
    def delete_one(self, data: st.DataObject) -> None:
        id_ = self.pick(data)
        assert 200 <= self.provider.send(self.at(id_, "delete")).status < 300
        del self.known[id_]
        self.tags.pop(id_, None)
        self.gone.append(id_)
        if "read" in self.actions:
            assert self.provider.send(self.at(id_, "read")).status in refused_as(self.actions["read"], 404, 410)
        assert self.provider.send(self.at(id_, "delete")).status in {204, *refused_as(self.actions["delete"], 404, 410)}

    @precondition(lambda self: "list" in self.actions)
    @rule(limit=st.integers(1, 4))
    def page_through(self, limit: int) -> None:
        self.check_pages([str(record[self.id_field]) for record in self.listed(limit)])

    @precondition(lambda self: "list" in self.actions)
    @rule(limit=st.integers(1, 3))
    def page_through_while_others_insert(self, limit: int) -> None:
        before = set(self.shown())
        inserts = itertools.islice(itertools.repeat(self.create_one), 3)
        pages = self.listed(limit, lambda: next(inserts, _nothing)())  # noqa: PLW0108 - the next one each time
        found = [str(record[self.id_field]) for record in pages]
        assert len(found) == len(set(found)), "a record stands on two pages"
        assert before <= set(found), "a record that was there all the time is on no page"

    def shown(self) -> list[str]:
        """The records that a list without conditions of its own shows; some have one by default."""
        fields = self.provider.spec.collections[str(self.create.meaning.collection)].fields
        usual = {
            one.name: one.schema["default"]
            for one in self.actions["list"].parameters
            if one.location == "query" and one.name in fields and one.schema.get("default") is not None
        }
        return [id_ for id_, record in self.known.items() if all(record.get(name) == usual[name] for name in usual)]

    def check_pages(self, found: list[str]) -> None:
        assert len(found) == len(set(found)), "a record stands on two pages"
        assert set(self.shown()) <= set(found), "a record is on no page"
        if self.provider.world is not None:
            assert set(found) <= set(self.known), "a page shows what is not there"


def tries(operation: Operation, target: Target) -> int:
    """How often a collection is tried, so that a system of hundreds of them is done in bounded time."""
    operations = target.project.specs[operation.system].operations.values()
    creates = sum(other.meaning.action == "create" for other in operations)
    return max(LEAST, min(EXAMPLES, EXAMPLES * USUAL // max(creates, 1)))


@pytest.mark.writes
@pytest.mark.operations(lambda operation: operation.meaning.action == "create")
def test_the_records_are_what_the_model_says(make_provider: Make, operation: Operation, target: Target) -> None:
    run_state_machine_as_test(
        lambda: Records(make_provider(), operation),
        settings=settings(max_examples=tries(operation, target), stateful_step_count=STEPS),
    )
