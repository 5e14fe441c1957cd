"""What each operation means, read from paths, methods and schemas alone.

Read are: collections, flat and nested; items; actions on a record (`POST /orders/{id}/cancel`); parts of a record and
singletons (`/settings`); searches, counts and batches; updates by POST; upserts; the token operation. What is none of
these answers as its schema says and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from sandbox.inference.collections import DEEDS, SEARCHES, Paths, own_names, parameter_of
from sandbox.inference.envelopes import batch_place, item_place, list_place, schema_there
from sandbox.inference.events import events_of
from sandbox.inference.identity import target_of
from sandbox.inference.key import key_field_of
from sandbox.inference.meaning import Action, Collection, Meaning, Parent, Place, Route
from sandbox.inference.schemas import Schema, fields_of, kind_of, plain, schema_at
from sandbox.inference.words import singulars, snake, words

_ITEM_ACTIONS: Final[Mapping[str, Action]] = {"GET": "read", "PUT": "replace", "PATCH": "patch", "DELETE": "delete"}
_PART_ACTIONS: Final[Mapping[str, Action]] = {"GET": "read", "PUT": "replace", "PATCH": "patch", "POST": "patch"}
_VERBS: Final[Mapping[Action, str]] = {
    "read": "reads",
    "replace": "replaces",
    "patch": "patches",
    "delete": "deletes",
}
_COUNTS: Final = ("count", "total")
# What gives an id a form of its own.
_FORMS: Final = frozenset({"format", "pattern", "enum", "minLength"})


class Inference:
    """Reads the meanings and collections of one document; read `meanings` and `collections` afterwards.

    Args:
        ids: By collection, what a project says of it: `id`, the field that identifies a record.
        events: The names of all events that the document declares.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        document: Schema,
        ids: Mapping[str, Mapping[str, str]] | None = None,
        events: Sequence[str] = (),
    ) -> None:
        self._ids_said = ids or {}
        self._document = document
        # How a path is written says nothing of what it means.
        routes = [replace(route, path=_bare(route.path)) for route in routes]
        self._paths = Paths(routes, document)
        self._annotated = any(route.expressions or route.explicit for route in routes)
        # Parts of one record that are kept as a record of their own: /products/{sku}/stock -> (stock_levels, sku).
        self._parts: dict[str, tuple[str, str]] = {}
        # Records of which there is one only, or one for each parent: path -> (name, parent).
        self._singles: dict[str, tuple[str, Parent | None]] = {}
        for route in routes:
            self._add_part(route)
        for path in self._paths.by_path:
            self._add_single(path)
        self.collections: Mapping[str, Collection] = self._linked()
        read = {route.id: self._corrected(route) for route in routes}
        self.meanings: Mapping[str, Meaning] = {
            name: replace(meaning, events=events_of(meaning, events)) for name, meaning in read.items()
        }

    def _add_part(self, route: Route) -> None:
        if route.explicit is None or route.explicit[1] is None or route.path in self._paths.bases:
            return
        name, parameter = route.explicit[0], route.explicit[1]
        *front, last = route.path.split("/")
        base, _ = self._paths.nearest_item(route.path, self._paths.bases)
        elsewhere = base is None or self._paths.names[base] != name
        if elsewhere and f"{{{parameter}}}" in front and "{" not in last:
            self._parts[route.path] = name, parameter

    def _add_single(self, path: str) -> None:
        """Note a path that reads one object and can be no item's: `/settings`, `/orders/{id}/invoice`."""
        methods = self._paths.by_path[path]
        get, last = methods.get("GET"), path.rpartition("/")[2]
        if get is None or "{" in last or not last or path in self._paths.bases or path in self._parts:
            return
        if get.explicit is not None or get.answer is None or _is_deed(last):
            return
        if kind_of(plain(get.answer, self._document), self._document) not in ("object", ""):
            return
        base, parameter = self._paths.nearest_item(path, self._paths.bases)
        name, parent = snake(last), None
        if base is not None and parameter is not None:
            owner = self._paths.names[base]
            parent = Parent(owner, parameter, f"@{parameter}", self._paths.is_created(base))
            name = f"{'_'.join(singulars(owner))}_{name}"
        taken = {one for one, _ in self._singles.values()} | set(self._paths.names.values())
        if name in taken or not name.isidentifier():
            name = snake(path)
        self._singles[path] = name, parent

    def _in_order(self) -> list[str]:
        named = [route.explicit[0] for route in self._paths.routes() if route.explicit]
        corrected = [c.collection for r in self._paths.routes() if (c := r.correction) is not None and c.collection]
        return list(dict.fromkeys([*self._paths.names.values(), *named, *corrected]))

    def _linked(self) -> dict[str, Collection]:
        """All collections, with what they have to do with one another."""
        found = {name: self._collection(name) for name in self._in_order()}
        nested = {self._paths.names[base] for base in self._paths.parents}
        made = {self._paths.names[base] for base in self._paths.bases if self._paths.is_created(base)}
        names = {singulars(name): name for name in found if name in made and name not in nested}
        for name, collection in found.items():
            targets = ((field, target_of(field, names)) for field in collection.fields if field != collection.id_field)
            references = {field: target for field, target in targets if target is not None and target != name}
            references |= self._embeddable(collection, {one: found[one] for one in names.values() if one != name})
            supplied = name in self._paths.names.values() and name not in made
            unlisted = supplied and self._is_unlisted(name)
            base = next((base for base, of in self._paths.names.items() if of == name), "")
            parent = self._paths.parents.get(base)
            found[name] = replace(
                collection, references=references, supplied=supplied, parent=parent, unlisted=unlisted
            )
        for path, (name, _) in self._singles.items():
            schema = plain(self._single_schema(path), self._document)
            found[name] = Collection(name, "@id", schema, fields_of(schema, self._document), frozenset(), single=True)
        for name in self._counted(found) & found.keys():
            own = found[name].id_schema
            if kind_of(own, self._document) == "string" and not own.keys() & _FORMS:
                found[name] = replace(found[name], id_schema={**own, "format": "digits"})
        return found

    def _counted(self, known: Mapping[str, Collection]) -> set[str]:
        """The collections whose ids are numbers to somebody: to what points at a record, lies in it or addresses it."""
        numbers = ("integer", "number")
        found = {
            target
            for one in known.values()
            for field, target in one.references.items()
            if kind_of(one.fields[field], self._document) in numbers
        }
        for one in known.values():
            if one.parent is not None and kind_of(one.fields.get(one.parent.field, {}), self._document) in numbers:
                found.add(one.parent.collection)
        for base, name in self._paths.names.items():
            below = (path for path in self._paths.by_path if path.startswith(f"{base}/{{"))
            for path in below:
                parameter = parameter_of(path.removeprefix(f"{base}/").partition("/")[0])
                routes = self._paths.by_path[path].values()
                asked = (one for route in routes for one in route.arguments if one.name == parameter)
                if any(kind_of(one.schema, self._document) in numbers for one in asked):
                    found.add(name)
        return found

    def _is_unlisted(self, name: str) -> bool:
        """Whether records are read by their ids alone, which nothing tells."""
        bases = [base for base, of in self._paths.names.items() if of == name]
        items = [self._paths.by_path.get(self._paths.items.get(base, ""), {}) for base in bases]
        below = any(one.startswith(f"{base}/") and "{" not in one for one in self._paths.by_path for base in bases)
        listed = any(self._paths.by_path.get(base) for base in bases)
        return (
            not listed
            and not below
            and any("GET" in one for one in items)
            and not any("DELETE" in one for one in items)
        )

    def _embeddable(self, collection: Collection, others: Mapping[str, Collection]) -> dict[str, str]:
        """The fields that hold an id or, when it is asked for, the record itself: `anyOf` a text and its schema."""
        wholes = {id(schema_at(self._document, other.schema)): name for name, other in others.items() if other.fields}
        found: dict[str, str] = {}
        for field, schema in collection.fields.items():
            choices = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
            if any(kind_of(one, self._document) in ("string", "integer") for one in choices):
                targets = (wholes.get(id(schema_at(self._document, one))) for one in choices)
                target = next((one for one in targets if one is not None), None)
                found |= {} if target is None else {field: target}
        return found

    def _single_schema(self, path: str) -> Schema:
        answer = self._paths.by_path[path]["GET"].answer
        place = item_place(answer, snake(path.rpartition("/")[2]), (), self._document)
        return schema_there(answer, _one(place), self._document) or {}

    def _collection(self, name: str) -> Collection:
        part_routes = [
            self._paths.by_path[path].get(method)
            for path, part in self._parts.items()
            if part[0] == name
            for method in ("GET", "PUT", "PATCH")
        ]
        part = next((schema for route in part_routes if route and (schema := route.answer or route.body)), None)
        collection = self._paths.collection(name, part, self._key_field(name))
        said = self._ids_said.get(name, {}).get("id")
        if said:
            collection = replace(collection, id_field=said, id_schema=collection.fields.get(said, {}))
        if collection.key_field is None and not self._annotated:
            return replace(collection, key_field=self._guessed_key(collection))
        return collection

    def _creates_of(self, name: str) -> list[Route]:
        bases = [base for base in self._paths.bases if self._paths.names[base] == name]
        return [route for base in bases if (route := self._paths.by_path.get(base, {}).get("POST")) is not None]

    def _key_field(self, name: str) -> str | None:
        pointers = (
            expression.name.removeprefix("/")
            for route in self._creates_of(name)
            for expression in route.expressions
            if expression.source == "body"
        )
        return next((pointer for pointer in pointers if pointer and "/" not in pointer), None)

    def _guessed_key(self, collection: Collection) -> str | None:
        for route in self._creates_of(collection.name):
            sent = schema_there(route.body, self._body_at(route, collection.name), self._document)
            fields = fields_of(plain(sent, self._document), self._document) if sent is not None else {}
            if (found := key_field_of(fields, collection.fields, collection.name)) is not None:
                return found
        return None

    def _corrected(self, route: Route) -> Meaning:
        meaning, correction = self._meaning(route), route.correction
        if correction is None:
            return meaning
        name = correction.collection or meaning.collection
        collection = None if name is None else self.collections.get(name)
        changed = replace(
            meaning,
            corrected=correction.place,
            collection=name,
            action=correction.action or meaning.action,
            id_parameter=correction.id or meaning.id_parameter,
            verb=correction.verb or meaning.verb,
            id_field=meaning.id_field if collection is None else collection.id_field,
            key_field=meaning.key_field if collection is None else collection.key_field,
            why=f"{correction.place} says so",
        )
        if changed.action in ("create", "list", "search", "upsert", "clear", "count", "batch"):
            changed = replace(changed, id_parameter=None)
        many = changed.action in ("list", "search", "batch")
        answer_at = meaning.answer_at
        if correction.envelope is not None:
            answer_at = Place(_names(correction.envelope), many or correction.envelope.endswith("[]"))
        elif changed.action != meaning.action and name is not None:
            answer_at = self._answer_at(route, name, many=many) or Place((), many)
        body_at = Place(_names(correction.body), correction.body.endswith("[]")) if correction.body else meaning.body_at
        return replace(changed, answer_at=answer_at, body_at=body_at)

    def _meaning(self, route: Route) -> Meaning:
        if route.is_token:
            return Meaning("token", None, None, None, "its path is the tokenUrl of an OAuth2 security scheme")
        paths = self._paths
        head, _, last = route.path.rpartition("/")
        if route.path in paths.bases:
            return self._of_collection(route)
        parameter = parameter_of(last)
        if parameter is not None and head in paths.bases and route.method in (*_ITEM_ACTIONS, "POST"):
            return self._of_item(route, head, parameter)
        part = self._parts.get(route.path)
        if part is not None and route.method in _ITEM_ACTIONS:
            action = _ITEM_ACTIONS[route.method]
            why = (
                f"by x-collection {{{part[1]}}} identifies a record of {part[0]}, which {route.method} {_VERBS[action]}"
            )
            return self._make(action, part[0], part[1], why, None, route)
        single = self._singles.get(route.path)
        if single is not None and route.method in _PART_ACTIONS:
            return self._of_single(route, *single)
        return self._of_rest(route)

    def _of_item(self, route: Route, base: str, parameter: str) -> Meaning:
        name = self._named(route, self._paths.names[base])
        parent = self._paths.parents.get(base)
        if route.method == "POST":
            why = f"POST on an item path updates the record of {name} that {{{parameter}}} identifies"
            return self._make("patch", name, parameter, why, parent, route)
        action = _ITEM_ACTIONS[route.method]
        why = f"{route.method} on an item path {_VERBS[action]} the record of {name} that {{{parameter}}} identifies"
        if self.collections[name].unlisted:
            why += "; nothing creates or lists them, so each id is there"
        return self._make(action, name, parameter, why, parent, route)

    def _of_single(self, route: Route, name: str, parent: Parent | None) -> Meaning:
        action = _PART_ACTIONS[route.method]
        which = f"one for each of {parent.collection}" if parent else "the only one of its kind"
        why = (
            f"GET answers one object at a path without an id: {name} is {which}, which {route.method} {_VERBS[action]}"
        )
        meaning = self._make(action, name, None, why, parent, route)
        return replace(meaning, single=True)

    def _of_collection(self, route: Route) -> Meaning:
        name = self._named(route, self._paths.names[route.path])
        parent = self._paths.parents.get(route.path)
        within = f" of the {{{parent.parameter}}} in the path (field {parent.field})" if parent else ""
        both = "upsert" in words(route.id) or {"create", "update"} <= {*words(route.id)}
        if route.method == "POST" and both and not self._body_at(route, name).many:
            why = f"by its name, {route.id} changes one of {name}{within} that is known and creates another"
            return self._make("upsert", name, None, why, parent, route)
        if route.method == "POST" and parent is not None and self._attaches(route, name):
            why = f"POST of nothing but an id puts one of {name} that is known elsewhere there{within}"
            return self._make("upsert", name, None, why, parent, route)
        if route.method == "POST":
            why = f"POST on a collection path creates one of {name}{within}"
            return self._make("create", name, None, why, parent, route)
        if route.method == "GET":
            place = list_place(route.answer, name, self._document)
            if place is not None or route.answer is None:
                shape = f" in {str(place)!r}" if place and place.path else " as a bare array"
                why = f"GET on a collection path lists {name}{within}{shape}"
                return self._make("list", name, None, why, parent, route)
        if route.method in ("PUT", "PATCH") and route.body is not None:
            why = f"{route.method} on a collection path changes records of {name} that are known and creates others"
            return self._make("upsert", name, None, why, parent, route)
        if route.method == "DELETE":
            why = f"DELETE on a collection path deletes those of {name} that the query names"
            return self._make("clear", name, None, why, parent, route)
        why = f"{route.method} on the collection path of {name} has no usual meaning"
        return self._make("answer", name, None, why, parent, route)

    def _attaches(self, route: Route, name: str) -> bool:
        """Whether what is sent says no more of a record than its id."""
        collection = self.collections[name]
        sent = fields_of(plain(route.body or {}, self._document), self._document)
        return sent.keys() & collection.fields.keys() == {collection.id_field}

    def _of_rest(self, route: Route) -> Meaning:
        """Actions, sub-resources and paths of no collection."""
        last = route.path.rpartition("/")[2]
        base, parameter = self._paths.nearest_item(route.path, self._paths.bases)
        above = next((known for known in reversed(self._paths.bases) if route.path.startswith(f"{known}/")), None)
        if above is not None and (base is None or len(above) > len(base)):
            deed = self._deed(route, above)
            if deed is not None:
                return deed
        if base is not None:
            name = self._named(route, self._paths.names[base])
            if name != self._paths.names[base]:
                parameter = parameter_of(last)
            parent = self._paths.parents.get(base)
            if route.method != "GET" and parameter is not None and name == self._paths.names[base]:
                verb = next((one for one in reversed(route.path.split("/")) if one and "{" not in one), "")
                why = f"{route.method} {verb!r} behind an item path is an action on the {name} record {{{parameter}}}"
                return replace(self._make("act", name, parameter, why, parent, route), verb=snake(verb))
            why = f"a part of the {name} record {{{parameter}}}, answered as its schema says"
            return self._make("answer", name, parameter, why, parent, route)
        if (searched := self._searched(route) or self._by_other_id(route)) is not None:
            return searched
        if above is not None or route.explicit is not None:
            name = self._named(route, self._paths.names[above] if above is not None else "")
            why = f"an action on the collection {name}, answered as its schema says"
            return self._make("answer", name, None, why, None, route)
        return Meaning("answer", None, None, None, "the path addresses no collection: answered as its schema says")

    def _searched(self, route: Route) -> Meaning | None:
        """A search beside its collection: `/search-invoices` beside `/invoices`."""
        base = self._paths.searched_at(route.path)
        if base not in self._paths.bases or list_place(route.answer, "", self._document) is None:
            return None
        action: Action = "list" if route.method == "GET" else "search"
        name = self._named(route, self._paths.names[base])
        why = f"{route.path.rpartition('/')[2]!r} beside a collection path searches {name}"
        return self._make(action, name, None, why, self._paths.parents.get(base), route)

    def _by_other_id(self, route: Route) -> Meaning | None:
        """Reads a record by another field than its id: `/batches/external_id/{external_id}`."""
        head, _, last = route.path.rpartition("/")
        base, parameter = head.rpartition("/")[0], parameter_of(last)
        if route.method != "GET" or parameter is None or head in self._paths.by_path or base not in self._paths.bases:
            return None
        name = self._paths.names[base]
        why = f"GET reads the record of {name} whose {parameter} is the one in the path"
        return self._make("read", name, parameter, why, self._paths.parents.get(base), route)

    def _deed(self, route: Route, base: str) -> Meaning | None:
        """What is done to a collection as a whole: `/search`, `/count`, `/batch/update`."""
        name = self._named(route, self._paths.names[base])
        parent = self._paths.parents.get(base)
        behind = [word for part in route.path.removeprefix(base).split("/") for word in words(part)]
        if not behind or "{" in route.path.removeprefix(base):
            return None
        if behind[-1] in _COUNTS and route.method == "GET":
            return self._make("count", name, None, f"counts the records of {name}", parent, route)
        many = route.method == "POST" and self._lists(route.body, name) and behind[0] in ("create", "add", "import")
        if ({"batch", "bulk", "upsert"} & set(behind) and route.method != "GET") or many:
            body_at = batch_place(route.body, name, self._document)
            if body_at is not None:
                why = f"{' '.join(behind)!r} behind a collection path concerns several records of {name} at once"
                meaning = self._make("batch", name, None, why, parent, route)
                return replace(meaning, verb=behind[-1], body_at=body_at)
        asks = behind[-1] if behind[-1] in SEARCHES else behind[0]
        if asks in SEARCHES or (route.method == "GET" and self._lists(route.answer, name)):
            place = list_place(route.answer, name, self._document)
            if place is not None:
                action: Action = "list" if route.method == "GET" else "search"
                why = f"{' '.join(behind)!r} behind a collection path searches {name}, found in {str(place)!r}"
                return self._make(action, name, None, why, parent, route)
        return None

    @staticmethod
    def _named(route: Route, inferred: str) -> str:
        return route.explicit[0] if route.explicit is not None else inferred

    def _answer_at(self, route: Route, name: str, *, many: bool) -> Place | None:
        if route.answer is None:
            return None
        if many:
            return list_place(route.answer, name, self._document)
        return item_place(route.answer, name, self._ids(route.answer, name), self._document)

    def _ids(self, schema: Schema, name: str) -> tuple[str, ...]:
        """The fields of an object that may be the id of a record of the collection."""
        known = getattr(self, "collections", {}).get(name)
        return (*own_names(schema, name, None, self._document), *(() if known is None else (known.id_field,)))

    def _body_at(self, route: Route, name: str) -> Place:
        """Where the record lies in what is sent: bare where it has the fields of one, else in an envelope."""
        if route.body is None:
            return Place()
        collection = getattr(self, "collections", {}).get(name)
        sent = fields_of(plain(route.body, self._document), self._document)
        if collection is not None and sent:
            shared = len(sent.keys() & collection.fields.keys())
            if shared * 2 > len(sent) and shared > 1:
                return Place()
        place: Place | None = item_place(route.body, name, self._ids(route.body, name), self._document)
        if place is None or not place.path:
            return place or Place()
        inner = plain(schema_there(route.body, place, self._document) or {}, self._document)
        if (
            collection is not None
            and place.path[-1] in collection.fields
            and not (len(fields_of(inner, self._document).keys() & collection.fields.keys()) > 1)
        ):
            # A part of the record and not its envelope: `{address: {…}}`.
            return Place()
        return place

    def _make(
        self, action: Action, name: str, parameter: str | None, why: str, parent: Parent | None, route: Route
    ) -> Meaning:
        collection = self.collections[name]
        many = action in ("list", "search", "batch")
        answer_at = self._answer_at(route, name, many=many)
        if many and answer_at is None and route.answer is not None:
            answer_at = self._answer_at(route, name, many=False)
        if action == "act" and not self._is_record(route.answer, answer_at, collection):
            answer_at = None
        envelope = answer_at.path[0] if action == "list" and answer_at and len(answer_at.path) == 1 else None
        writes = action in ("create", "replace", "patch", "upsert", "batch")
        return Meaning(
            action,
            name,
            parameter,
            envelope,
            why,
            collection.id_field,
            collection.key_field,
            parent,
            answer_at=answer_at,
            body_at=self._body_at(route, name) if writes else Place(),
        )

    def _lists(self, answer: Schema | None, name: str) -> bool:
        """Whether an answer holds records of a collection by the very schema that it has elsewhere."""
        item = schema_there(answer, list_place(answer, name, self._document), self._document)
        known = schema_at(self._document, self.collections[name].schema)
        return bool(item) and bool(known) and schema_at(self._document, item) is known

    def _is_record(self, answer: Schema | None, place: Place | None, collection: Collection) -> bool:
        """Whether what an action answers is the record itself."""
        schema = schema_there(answer, place, self._document)
        if schema is None:
            return False
        there = plain(schema, self._document)
        if schema_at(self._document, there) is schema_at(self._document, collection.schema):
            return True
        fields = fields_of(there, self._document)
        return collection.id_field in fields and len(fields.keys() & collection.fields.keys()) * 2 > len(fields)


def _bare(path: str) -> str:
    """`/orders` for `/orders.json`, and `/orders/{id}` for `/orders({id})` and `/orders('{id}')`."""
    for suffix in (".json", ".xml"):
        path = path.removesuffix(suffix)
    return re.sub(r"(?<=[^/])\('?({[^{}/]+})'?\)", r"/\1", path)


def _one(place: Place | None) -> Place | None:
    return Place() if place is not None and place.many else place


def _is_deed(segment: str) -> bool:
    return bool(set(words(segment)) & (DEEDS - {"list"}))


def _names(written: str) -> tuple[str, ...]:
    return tuple(name for name in written.removesuffix("[]").split(".") if name)
