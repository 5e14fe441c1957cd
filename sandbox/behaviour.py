"""Does what an operation means on a system without a mock's method for it: changes its records and answers.

What is created looks like what was sent; what the server sets is made up, seeded, and stays as it is. An answer has the
shape that the spec declares for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from sandbox import deeds
from sandbox.answering import Answers
from sandbox.field_error import FieldError
from sandbox.inference import Place, fields_of
from sandbox.inference.events import subscription_of
from sandbox.inference.paging import paging_of
from sandbox.inference.schemas import plain, schema_at
from sandbox.inference.words import words
from sandbox.model import Json, Problem, Reply
from sandbox.outbox import SUBSCRIPTIONS
from sandbox.pages import Page, read_page
from sandbox.request import invalid
from sandbox.spec import Collection as CollectionSpec
from sandbox.stored import Query
from sandbox.supplies import supply_below
from sandbox.told import fact_of
from sandbox.values import Muse

Document: TypeAlias = dict[str, Json]

_REFUSALS: Final = (422, 404, 409, 400)
_LISTS: Final = ("list", "search")
PAST: Final = ("delete", "remove", "archive", "destroy")


class Behaviour(Answers):
    """One call of one operation."""

    def perform(self) -> Json | Reply:
        """Do it, and send the events that it brings about.

        Raises:
            Problem: as the meaning has it, e.g. 404.
        """
        result = self._done()
        events = () if self._operation.events else self._meaning.events
        if events and self._mock.transaction.changes:
            for record in self._concerned:
                for event in events:
                    self._mock.emit(event, record)
        return result

    def _done(self) -> Json | Reply:
        meaning = self._meaning
        if meaning.action == "none":
            raise Problem(501, f"{self._operation.id} has no inferred meaning: {meaning.why}")
        if meaning.collection is None or meaning.collection not in self._spec.collections:
            return self._made({})
        if meaning.parent is not None and meaning.parent.strict:
            parent = self._exchange.path_parameters[meaning.parent.parameter]
            self._mock.collection(meaning.parent.collection).require(parent)
        if meaning.single:
            return self._single()
        doers: Mapping[str, Callable[[], Json | Reply]] = {
            "list": self._list,
            "search": self._list,
            "count": self._count,
            "create": self._create,
            "upsert": self._upsert,
            "clear": self._clear,
            "batch": self._batch,
        }
        doer = doers.get(meaning.action)
        if doer is not None:
            return doer()
        return self._made(self._parts()) if meaning.id_parameter is None else self._item()

    # Items

    def _item(self) -> Json | Reply:
        meaning, records = self._meaning, self._records
        id_ = self._exchange.path_parameters[meaning.id_parameter or "id"]
        upserts = meaning.action == "replace" and "201" in self._operation.responses
        if (upserts or (self._kind.keyed and meaning.action in ("replace", "patch"))) and records.get(id_) is None:
            made = self._add({**self._one(), records.id_field: self._typed(id_)})
            return self._answer(made, status=201 if "201" in self._operation.responses else None)
        stored = self._found(id_)
        id_ = str(stored[records.id_field])
        parent = meaning.parent
        if parent is not None and str(stored.get(parent.field)) != self._exchange.path_parameters.get(parent.parameter):
            raise Problem(404, f"there is no {id_[:80]!r} at this path")
        match meaning.action:
            case "delete":
                records.remove(id_)
                self._unsubscribe(id_)
                return self._answer(stored | self._told_of_end(), gone=True)
            case "read":
                return self._answer(stored)
            case "act":
                return self._act(stored)
            case "answer":
                return self._made({**stored, **self._parts()})
        place = {name: stored[name] for name in (records.id_field, parent and parent.field) if name and name in stored}
        patches = meaning.action == "patch"
        body = self._one() if self._operation.body is not None or not patches else self._asked()
        changed = deeds.patched(stored, body, self._kind) if patches else self._replaced(stored, body)
        return self._answer(records.save(self._whole(changed) | place))

    def _asked(self) -> Document:
        """What a change without a body says of the record: the query parameters that are named as its fields are."""
        parameters = self._exchange.parameters
        named = {one.name: one.python_name for one in self._operation.parameters if one.location == "query"}
        fields = self._kind.fields.keys() & named.keys() - {self._kind.id_field}
        return {name: parameters[named[name]] for name in sorted(fields) if parameters.get(named[name]) is not None}

    def _found(self, id_: str) -> Document:
        """The record that the path addresses: by its id, else by the field that the path parameter is named after.

        Raises:
            Problem: 404 when there is none.
        """
        field = self._meaning.id_parameter or ""
        if field != self._records.id_field and field in self._kind.fields and self._records.get(id_) is None:
            named = (one for one in self._records.page(Query({})) if str(one.body.get(field)) == id_)
            if (found := next(named, None)) is not None:
                return dict(found.body)
        if self._kind.unlisted and self._records.get(id_) is None:
            return self._conjured(id_)
        return self._records.require(id_)

    def _conjured(self, id_: str) -> Document:
        """A record of which nothing but its id can be known, always the same; kept once it is to be changed."""
        known = {self._records.id_field: self._typed(id_)}
        parent = self._meaning.parent
        if parent is not None:
            known[parent.field] = self._exchange.path_parameters.get(parent.parameter, "")
        muse = Muse(self._mock.seeded(self._kind.name, id_), self._mock.timestamp)
        made = self._shaper.complete(self._kind.schema, muse, known, made=True)
        record = {**(made if isinstance(made, dict) else {}), **known}
        return record if self._meaning.action in ("read", "answer") else self._records.add(record)

    def _replaced(self, stored: Document, body: Document) -> Document:
        """What was sent, with what is the server's and with what no answer may lack."""
        sent = self._declared()
        sendable = {name for name, field in sent.items() if not field.get("readOnly")}
        kept = self._kind.required | (stored.keys() - sendable)
        return {**{name: value for name, value in stored.items() if name in kept}, **body}

    def _act(self, stored: Document) -> Json | Reply:
        """Bring a record into the state that the action's name tells, with what was sent."""
        verb, kind = self._meaning.verb, self._kind
        sent = self._exchange.body if isinstance(self._exchange.body, dict) else {}
        known = {name: value for name, value in sent.items() if name in kind.fields and name != kind.id_field}
        changed = stored | known if self._exchange.method != "DELETE" else dict(stored)
        part = next((name for name in kind.fields if words(name) == words(verb)), None)
        if part is not None and sent and self._exchange.method != "DELETE":
            changed[part] = sent
        if self._exchange.method in ("POST", "PUT", "PATCH"):
            changed |= deeds.outcome(verb, kind.fields, self._muse())
        if changed != stored:
            changed = self._records.save(self._fitting(changed))
        if self._meaning.answer_at is None:
            return self._made({**self._parts(), **{n: v for n, v in changed.items() if n != kind.id_field}})
        return self._answer(changed)

    def _told_of_end(self) -> Document:
        """What some services answer of a record that is no more."""
        return {"deleted": True}

    # Collections

    def _list(self) -> Json | Reply:
        operation, meaning = self._operation, self._meaning
        given, wanted = None, None
        body = self._exchange.body
        if meaning.action == "search" and isinstance(body, dict):
            given = deeds.flat_search(body)
            wanted = deeds.search(body, self._askable(given))
        counted = self._tells_total()
        if given is None:
            page = read_page(self._exchange, operation, self._records, counted=counted)
        else:
            page = read_page(self._exchange, operation, self._records, given, wanted, counted=counted)
        items = [self._expanded(self._shown(record)) for record in page.records]
        return self._listed(items, page)

    def _askable(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """By which fields a search may ask: a record's own, and those of its parts that have no other meaning."""
        inner = [fields_of(one, self._spec.document) for one in self._kind.fields.values()]
        nested = {name: schema for fields in inner for name, schema in fields.items() if name in given}
        roles = paging_of([(name, "query", schema) for name, schema in nested.items()], {}, None)
        asked = (roles.limit, roles.offset, roles.page, roles.cursor, roles.since)
        return {**{name: one for name, one in nested.items() if name not in asked}, **self._kind.fields}

    def _tells_total(self) -> bool:
        """Whether the answer says how many records there are in all, which takes a look at each of them."""
        known = self._operation.cache.get("tells_total")
        if known is None:
            media, at = self._media(self._operation.success_status), self._meaning.answer_at
            known = bool(at and at.path and media is not None and deeds.tells_total(media.schema, self._spec.document))
            declared = self._operation.response_for(self._operation.success_status)
            described = () if declared is None else declared.described
            known = known or any(fact_of(name) in ("total", "pages") for name, _, _ in described)
            self._operation.cache["tells_total"] = known
        return known is True

    def _listed(self, items: list[Json], page: Page) -> Json | Reply:
        at = self._meaning.answer_at or Place(
            () if self._meaning.envelope is None else (self._meaning.envelope,), many=True
        )
        facts = {**page.facts, "place": at.path}
        return self._shaped(at.put(items), facts=facts, headers=page.headers)

    def _count(self) -> Json | Reply:
        page = read_page(self._exchange, self._operation, self._records, counted=True)
        facts = {**page.facts, "count": page.facts["total"], "place": ()}
        media = self._media(self._operation.success_status)
        schema = {} if media is None or media.schema is None else media.schema
        if plain(schema, self._spec.document).get("type") in ("integer", "number"):
            return self._shaped(page.facts["total"])
        return self._shaped({}, facts=facts)

    def _create(self) -> Json | Reply:
        sent = self._sent()
        if isinstance(sent, list):
            return self._answer_all([self._put_one(one) for one in sent])
        return self._answer(self._add(sent), status=201 if "201" in self._operation.responses else None)

    def _upsert(self) -> Json | Reply:
        sent = self._sent()
        done = [self._put_one(one) for one in (sent if isinstance(sent, list) else [sent])]
        return self._answer_all(done) if isinstance(sent, list) else self._answer(done[0])

    def _put_one(self, sent: Document) -> Document:
        """Change the record that the document names, or create it."""
        records, kind = self._records, self._kind
        known = sent.get(kind.id_field)
        stored = None if known is None else records.get(str(known))
        if stored is None:
            return self._add({**self._elsewhere(known), **sent})
        return records.save(self._whole(deeds.patched(stored, sent, kind)))

    def _elsewhere(self, id_: Json) -> Document:
        """The record of that id which another collection of such records has: `/tags/{id}` of `/contacts/{id}/tags`."""
        if id_ is None or self._meaning.parent is None:
            return {}
        like = (
            one for one in self._spec.collections.values() if one.schema is self._kind.schema and one is not self._kind
        )
        found = (self._mock.collection(one.name).get(str(id_)) for one in like)
        known = next((one for one in found if one is not None), {})
        return {name: value for name, value in known.items() if name[:1] != "@"}

    def _clear(self) -> Json | Reply:
        page = read_page(self._exchange, self._operation, self._records)
        named = [c for c in self._conditions() if c]
        gone = page.records if named else []
        for record in gone:
            self._records.remove(record.id)
        return self._answer_all([record.body for record in gone], gone=True)

    def _conditions(self) -> Iterator[bool]:
        """Whether each query parameter was given."""
        names = [one.python_name for one in self._operation.parameters if one.location == "query"]
        yield from (self._exchange.parameters.get(name) not in (None, "", []) for name in names)

    def _batch(self) -> Json | Reply:
        meaning, records, done = self._meaning, self._records, []
        given = meaning.body_at.get(self._exchange.body)
        for one in given if isinstance(given, list) else []:
            id_ = one.get(self._kind.id_field) if isinstance(one, dict) else one
            stored = None if id_ is None else records.get(str(id_))
            if meaning.verb in ("read", "get", "retrieve"):
                done += [] if stored is None else [stored]
            elif meaning.verb in PAST:
                if stored is not None:
                    records.remove(str(id_))
                    done.append(stored)
            elif isinstance(one, dict):
                if meaning.verb == "update" and stored is None:
                    continue
                done.append(self._put_one(self._without_read_only(one)))
        return self._answer_all(done, gone=meaning.verb in PAST)

    # Singletons

    def _single(self) -> Json | Reply:
        meaning, records = self._meaning, self._records
        id_ = "-" if meaning.parent is None else self._exchange.path_parameters[meaning.parent.parameter]
        stored = records.get(id_)
        if stored is None:
            stored = self._beginning(id_)
        if meaning.action == "read":
            return self._answer(stored)
        changed = {**deeds.merge_patch(stored, self._one()), records.id_field: id_}
        records.put(self._fitting(changed))
        return self._answer(changed, status=200 if "200" in self._operation.responses else None)

    def _beginning(self, id_: str) -> Document:
        """What the only record of its kind is before anybody has changed it."""
        muse = Muse(self._mock.seeded(self._kind.name, id_), self._mock.timestamp)
        known: Document = {}
        parent = self._meaning.parent
        if parent is not None:
            owner = self._mock.collection(parent.collection).get(id_) or {}
            known = {n: v for n, v in owner.items() if n in self._kind.fields}
        made = self._shaper.complete(self._kind.schema, muse, known, made=True)
        example = self._kind.schema.get("example")
        if isinstance(made, dict) and isinstance(example, dict):
            made = self._shaper.complete(self._kind.schema, muse, {**example, **known}, made=True)
        return {**(made if isinstance(made, dict) else {}), self._records.id_field: id_}

    # What was sent

    def _sent(self) -> Document | list[Document]:
        """The record, or the records, in the request's body without what the schema leaves to the server.

        Raises:
            Problem: 400 when it is no object.
        """
        at = self._meaning.body_at
        given = at.get(self._exchange.body) if at.path else self._exchange.body
        if at.path and given is None:
            given = self._exchange.body
        if isinstance(given, bytes):
            # A file, whose record has no more than its name.
            given = {}
        if isinstance(given, list) and (at.many or (self._meaning.answer_at and self._meaning.answer_at.many)):
            return [self._without_read_only(one) for one in given if isinstance(one, dict)]
        return self._without_read_only({} if given is None else given)

    def _one(self) -> Document:
        sent = self._sent()
        return sent if isinstance(sent, dict) else sent[0] if sent else {}

    def _without_read_only(self, given: Json) -> Document:
        if not isinstance(given, dict):
            errors = [{"pointer": "", "detail": "must be an object"}]
            raise Problem(400, "the body must be an object", type="validation", errors=errors)
        fields, declared = self._kind.fields, self._declared()
        sent = {name: value for name, value in given.items() if not fields.get(name, {}).get("readOnly")}
        odd = [
            name
            for name, value in sent.items()
            if name in fields
            and name not in declared
            and value is not None
            and not self._shaper.keeps(fields[name], self._muse(), value, name)
        ]
        if odd:
            errors_ = [FieldError(f"/{name}", "does not fit what a record may have") for name in odd]
            raise invalid(errors_, "this would make a record that the specification does not allow")
        self._check_references(sent)
        return sent

    def _declared(self) -> Mapping[str, Mapping[str, Any]]:
        """The fields that the request's own schema declares for a record."""
        found = self._operation.cache.get("declared")
        if not isinstance(found, Mapping):
            bodies = self._operation.body.content.values() if self._operation.body is not None else ()
            schema: Any = next((media.schema for media in bodies if media.schema is not None), None)
            document = self._spec.document
            for name in self._meaning.body_at.path:
                schema = fields_of(plain(schema or {}, document), document).get(name)
            if self._meaning.body_at.many:
                schema = plain(schema or {}, document).get("items")
            whole: Any = schema_at(document, schema or {})
            found = fields_of(plain(whole, document), document)
            for one in (*whole.get("oneOf", ()), *whole.get("anyOf", ())):
                found = {**fields_of(one, document), **found}
            self._operation.cache["declared"] = found
        return found

    def _check_references(self, sent: Document) -> None:
        """Refuse what points at a record that does not exist, where the spec declares such a refusal."""
        status = next((one for one in _REFUSALS if str(one) in self._operation.responses), None)
        if status is None:
            return
        for name, target in self._kind.references.items():
            value = sent.get(name)
            if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
                continue
            if self._mock.collection(target).record(str(value)) is None:
                kind = " ".join(words(target))
                errors = [{"pointer": f"/{name}", "detail": f"is none of the {kind}"}]
                detail = f"{name} {str(value)[:80]!r} is none of the {kind} that exist"
                raise Problem(status, detail, type="unknown-reference", errors=errors)

    # Records

    def _add(self, sent: Document) -> Document:
        shaped = {**self._defaults(), **sent}
        exchange = self._exchange
        if (parent := self._meaning.parent) is not None:
            given = exchange.path_parameters[parent.parameter]
            kind = self._kind.fields.get(parent.field, {}).get("type")
            shaped[parent.field] = int(given) if kind == "integer" and given.isdecimal() else given
        if self._operation.id in self._spec.subscribe_operations:
            shaped.setdefault("secret", exchange.world.secret)
        added = self._records.add(self._whole(shaped))
        supply_below(self._mock, self._kind, added)
        self._subscribe(added)
        return added

    def _defaults(self) -> Document:
        """What a new record has in the fields that the caller may leave to the request's schema."""
        known = self._operation.cache.get("defaults")
        if not isinstance(known, dict):
            fields = {name: one["default"] for name, one in self._declared().items() if one.get("default") is not None}
            known = {name: value for name, value in fields.items() if name in self._kind.fields}
            self._operation.cache["defaults"] = known
        return known

    def _subscribe(self, record: Document) -> None:
        """Let a subscription of whatever form receive what its spec declares."""
        kind, spec = self._kind, self._spec
        if not spec.events or kind.name == SUBSCRIPTIONS:
            return
        wanted = subscription_of(record, kind.name, list(spec.events))
        if wanted is None and self._operation.id not in spec.subscribe_operations:
            return
        if wanted is not None:
            secret = record.get("secret") or self._exchange.world.secret
            known = {"id": str(record[kind.id_field]), "secret": secret, "status": "active"}
            self._mock.collection(SUBSCRIPTIONS).put({**known, **wanted})

    def _unsubscribe(self, id_: str) -> None:
        if self._spec.events and self._kind.name != SUBSCRIPTIONS:
            known = self._mock.collection(SUBSCRIPTIONS)
            if known.record(id_) is not None:
                known.remove(id_)

    def _whole(self, record: Document) -> Document:
        """The record with what its schema requires besides, and without what only the request knows."""
        kind = self._kind
        if not kind.fields:
            return record
        own = kind.fields.keys() | kind.required | {kind.id_field}
        known = {name: value for name, value in record.items() if name in own or name not in self._declared()}
        open_ = isinstance(kind.schema.get("additionalProperties"), Mapping | bool)
        known = record if open_ and kind.schema["additionalProperties"] is not False else known
        return self._fitting(known)

    def _fitting(self, record: Document) -> Document:
        """The record, made to fit its schema; its id and its time stamps are not made up here."""
        kind = self._kind
        made = self._shaper.complete(kind.schema, self._muse(), record)
        if not isinstance(made, dict):
            return record
        own = {kind.id_field, *kind.stamps}
        fitting = {name: value for name, value in made.items() if name not in own or name in record}
        hidden = {name: value for name, value in record.items() if name not in fitting}
        fitting |= {n: v for n, v in hidden.items() if n.startswith("@") or n == kind.id_field or _is_secret(kind, n)}
        if kind.id_field in record:
            fitting[kind.id_field] = record[kind.id_field]
        return fitting

    def _typed(self, id_: str) -> Json:
        return int(id_) if self._kind.id_schema.get("type") == "integer" and id_.isdecimal() else id_

    def _muse(self) -> Muse:
        return Muse(self._mock.faker, self._mock.timestamp)


def _is_secret(kind: CollectionSpec, name: str) -> bool:
    """Whether a field is kept, and never shown."""
    return bool(kind.fields.get(name, {}).get("writeOnly"))
