"""What each operation means, read from paths, methods and schemas; and which business object a call is about.

Read today: flat collections (`/orders`, `/orders/{order_number}`); collections nested in a record
(`/customers/{customer_id}/activities`), when they are listed or have items of their own and their records carry the
parent's id in a field; the token operation. All else (actions such as `POST /orders/{id}/cancel`, sub-resources such as
`PUT /orders/{id}/delivery-address`) means nothing by itself and only knows the record that its path addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

from sandbox.document import resolve
from sandbox.expression import Expression, as_text

Action: TypeAlias = Literal["create", "read", "list", "replace", "patch", "delete", "token", "none"]
Schema: TypeAlias = Mapping[str, Any]

_ITEM_ACTIONS: Final[Mapping[str, Action]] = {"GET": "read", "PUT": "replace", "PATCH": "patch", "DELETE": "delete"}
_VERBS: Final[Mapping[Action, str]] = {
    "read": "reads",
    "replace": "replaces",
    "patch": "patches",
    "delete": "deletes",
}
_ENVELOPES: Final = ("data", "items", "results", "records", "entries", "content", "value")


@dataclass(frozen=True, slots=True)
class Parent:
    """The record in which a nested collection lies.

    Args:
        collection: The parent's collection.
        parameter: The path parameter with the parent's id.
        field: The field of a nested record that holds that id.
    """

    collection: str
    parameter: str
    field: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an operation does to which collection.

    Args:
        action: What it does; `none` when only a mock's method can say.
        collection: The collection it is about, also for actions and sub-resources of a record.
        id_parameter: The path parameter that identifies the addressed record of that collection.
        envelope: The array property of a list answer; None for a bare array, and for all but lists.
        why: A sentence for people.
        id_field: The field that identifies a record of the collection.
        key_field: The field of the collection's records that holds the business key.
        parent: Set for nested collections: records are created with, and listed by, the parent's id.
    """

    action: Action
    collection: str | None
    id_parameter: str | None
    envelope: str | None
    why: str
    id_field: str | None = None
    key_field: str | None = None
    parent: Parent | None = None

    @property
    def addressed(self) -> tuple[str, str] | None:
        """(collection, path parameter) of the stored record in the path; for a nested collection, of its parent."""
        if self.collection is not None and self.id_parameter is not None:
            return self.collection, self.id_parameter
        return None if self.parent is None else (self.parent.collection, self.parent.parameter)


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """Records of one kind.

    Args:
        name: As attribute of the mock: `orders`.
        id_field: The field that identifies a record.
        schema: The schema object of a record, resolved; empty when the document does not say.
        fields: The record's top-level fields, through `$ref` and `allOf`.
        required: Those of them that an answer must have.
        key_field: The field that holds the business key, as the create operation's `x-business-key` names it.
    """

    name: str
    id_field: str
    schema: Schema = field(repr=False)
    fields: Mapping[str, Schema] = field(repr=False)
    required: frozenset[str] = field(repr=False)
    key_field: str | None = None

    @property
    def has_created_at(self) -> bool:
        return "created_at" in self.fields

    @property
    def has_updated_at(self) -> bool:
        return "updated_at" in self.fields


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """What inference needs to know of an operation.

    Args:
        id: operationId.
        method: Upper case.
        path: Template, `/orders/{order_number}`.
        success_status: The first 2xx.
        answer: JSON schema object of the success answer.
        body: JSON schema object of the request body.
        explicit: `x-collection` as (name, id field).
        expressions: `x-business-key`, parsed.
        is_token: Whether it hands out OAuth2 tokens.
    """

    id: str
    method: str
    path: str
    success_status: int
    answer: Schema | None
    body: Schema | None
    explicit: tuple[str, str | None] | None = None
    expressions: tuple[Expression, ...] = ()
    is_token: bool = False


def fields_of(schema: Schema | None, document: Schema) -> dict[str, Schema]:
    """The top-level properties of an object schema, resolved, through `$ref` and `allOf`; `{}` when there are none."""
    found: dict[str, Schema] = {}
    for part in _parts(schema, document):
        properties = part.get("properties")
        for name, value in properties.items() if isinstance(properties, Mapping) else ():
            found.setdefault(name, _schema_at(document, value))
    return found


def required_of(schema: Schema | None, document: Schema) -> frozenset[str]:
    """The names of the properties that an object schema requires, through `$ref` and `allOf`."""
    listed = (part.get("required") for part in _parts(schema, document))
    return frozenset(name for names in listed if isinstance(names, list) for name in names)


def _parts(schema: Schema | None, document: Schema) -> Iterator[Schema]:
    """A schema and all that its `allOf` adds, resolved."""
    seen: set[int] = set()
    stack: list[Any] = [schema] if schema is not None else []
    while stack:
        part = resolve(document, stack.pop(0))
        if not isinstance(part, Mapping) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        parts = part.get("allOf")
        stack.extend(parts if isinstance(parts, list) else ())


def _schema_at(document: Schema, node: Any) -> Schema:
    """The resolved schema object; an empty one where something else stands."""
    found = resolve(document, node)
    return found if isinstance(found, Mapping) else {}


def parameter_of(segment: str) -> str | None:
    """The parameter that fills a whole path segment: `order_number` for `{order_number}`."""
    whole = segment.startswith("{") and segment.endswith("}") and segment.count("{") == 1
    return segment[1:-1] if whole else None


class Inference:
    """Reads the meanings and collections of one document; read `meanings` and `collections` afterwards."""

    def __init__(self, routes: Sequence[Route], document: Schema) -> None:
        self._document = document
        self._by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._by_path.setdefault(route.path, {})[route.method] = route
        # The item path of each collection path: /orders -> /orders/{order_number}.
        self._items: dict[str, str] = {}
        for path in self._by_path:
            base, _, last = path.rpartition("/")
            if base and parameter_of(last) and "{" not in base.rpartition("/")[2]:
                self._items.setdefault(base, path)
        self._names: dict[str, str] = {}
        self._parents: dict[str, Parent] = {}
        self._bases = self._find_bases()
        # Parts of one record that are kept as a record of their own: /products/{sku}/stock -> (stock_levels, sku).
        self._parts: dict[str, tuple[str, str]] = {}
        for route in routes:
            self._add_part(route)
        self.collections: Mapping[str, Collection] = {name: self._collection(name) for name in self._in_order()}
        self.meanings: Mapping[str, Meaning] = {route.id: self._meaning(route) for route in routes}

    def _add_part(self, route: Route) -> None:
        if route.explicit is None or route.explicit[1] is None or route.path in self._bases:
            return
        name, parameter = route.explicit[0], route.explicit[1]
        *front, last = route.path.split("/")
        base, _ = self._nearest_item(route.path, self._bases)
        elsewhere = base is None or self._names[base] != name
        if elsewhere and f"{{{parameter}}}" in front and "{" not in last:
            self._parts[route.path] = name, parameter

    def _in_order(self) -> list[str]:
        named = [route.explicit[0] for route in self._routes() if route.explicit]
        return list(dict.fromkeys([*self._names.values(), *named]))

    def _routes(self) -> Iterator[Route]:
        for methods in self._by_path.values():
            yield from methods.values()

    def _find_bases(self) -> list[str]:
        """The paths at which a collection lies, parents first, named on the way."""
        candidates = dict.fromkeys([*self._by_path, *self._items])
        bases: list[str] = []
        for path in sorted(candidates, key=lambda path: path.count("/")):
            if self._is_base(path, bases):
                bases.append(path)
                self._names[path] = self._name(path)
        return bases

    def _is_base(self, path: str, known: list[str]) -> bool:
        head, _, last = path.rpartition("/")
        if not last or "{" in last or any(route.is_token for route in self._by_path.get(path, {}).values()):
            return False
        post = self._by_path.get(path, {}).get("POST")
        if "{" not in head:
            creates = post is not None and post.success_status == 201
            return path in self._items or (head not in known and (creates or self._lists(path)))
        parent_path, parameter = self._nearest_item(path, known)
        if parent_path is None or parameter is None or not (self._lists(path) or path in self._items):
            return False
        parent = self._names[parent_path]
        explicit = self._explicit(path)
        if explicit is not None and explicit[0] == parent:
            return False
        fields = fields_of(self._item_schema([path]), self._document)
        holder = next((name for name in (parameter, f"{parent.removesuffix('s')}_id") if name in fields), None)
        if holder is None or not self._by_path.get(path):
            return False
        self._parents[path] = Parent(parent, parameter, holder)
        return True

    def _lists(self, path: str) -> bool:
        """Whether a GET of the path answers an array of records, bare or in an envelope of a usual name."""
        get = self._by_path.get(path, {}).get("GET")
        if get is None or get.answer is None:
            return False
        if _schema_at(self._document, get.answer).get("type") == "array":
            return True
        usual = {path.rpartition("/")[2].replace("-", "_"), *_ENVELOPES}
        explicit = self._explicit(path)
        if explicit is not None:
            usual.add(explicit[0])
        return any(name.lower() in usual for name in self._arrays(get.answer))

    def _arrays(self, answer: Schema) -> list[str]:
        fields = fields_of(answer, self._document)
        return [name for name, value in fields.items() if _schema_at(self._document, value).get("type") == "array"]

    def _envelope(self, answer: Schema | None, collection: str) -> str | None:
        if answer is None or _schema_at(self._document, answer).get("type") == "array":
            return None
        arrays = self._arrays(answer)
        usual = [name for name in arrays if name.lower() == collection or name.lower() in _ENVELOPES]
        return next(iter(usual or arrays), None)

    def _explicit(self, base: str) -> tuple[str, str | None] | None:
        """The `x-collection` of a collection path or of its item path."""
        for path in (base, self._items.get(base, "")):
            for route in self._by_path.get(path, {}).values():
                if route.explicit is not None:
                    return route.explicit
        return None

    def _name(self, base: str) -> str:
        explicit = self._explicit(base)
        if explicit is not None:
            return explicit[0]
        name = base.rpartition("/")[2].replace("-", "_").replace(".", "_")
        parent = self._parents.get(base)
        # Notes of orders and notes of customers are not the same records; /v1/orders and /v2/orders are.
        return f"{parent.collection}_{name}" if parent and name in self._names.values() else name

    def _nearest_item(self, path: str, bases: Sequence[str]) -> tuple[str | None, str | None]:
        """The collection path and parameter of the nearest record in front of the end of a path."""
        segments = path.split("/")
        for end in range(len(segments) - 1, 0, -1):
            base = "/".join(segments[:end])
            parameter = parameter_of(segments[end])
            if parameter is not None and base in bases:
                return base, parameter
        return None, None

    def _item_schema(self, bases: Sequence[str]) -> Schema | None:
        """The schema of a record: what reading one answers, else an item of the list, else what creating one takes."""
        for base in bases:
            item = self._by_path.get(self._items.get(base, ""), {})
            own = self._by_path.get(base, {})
            for route, is_list in ((item.get("GET"), False), (own.get("GET"), True), (own.get("POST"), False)):
                schema = route.answer if route is not None else None
                if route is not None and is_list:
                    schema = self._item_of_list(schema, base)
                if schema is not None and fields_of(schema, self._document):
                    return schema
            for route in (own.get("POST"), item.get("PUT"), item.get("PATCH")):
                if route is not None and (schema := route.answer or route.body) is not None:
                    return schema
        return None

    def _part_schema(self, name: str) -> Schema | None:
        routes = [
            self._by_path[path].get(method)
            for path, part in self._parts.items()
            if part[0] == name
            for method in ("GET", "PUT", "PATCH")
        ]
        return next((schema for route in routes if route and (schema := route.answer or route.body)), None)

    def _item_of_list(self, answer: Schema | None, base: str) -> Schema | None:
        if answer is None:
            return None
        envelope = self._envelope(answer, base.rpartition("/")[2].replace("-", "_"))
        array = fields_of(answer, self._document)[envelope] if envelope else answer
        items = _schema_at(self._document, array).get("items")
        return items if isinstance(items, Mapping) else None

    def _collection(self, name: str) -> Collection:
        bases = [base for base in self._bases if self._names[base] == name]
        schema = self._item_schema(bases) or self._part_schema(name)
        fields = fields_of(schema, self._document)
        declared = (route.explicit[1] for route in self._routes() if route.explicit and route.explicit[0] == name)
        parameters = [parameter_of(self._items[base].rpartition("/")[2]) for base in bases if base in self._items]
        id_field = next((declared_id for declared_id in declared if declared_id), None)
        if id_field is None:
            id_field = next((parameter for parameter in parameters if parameter and parameter in fields), "id")
        required = required_of(schema, self._document)
        return Collection(name, id_field, _schema_at(self._document, schema), fields, required, self._key_field(bases))

    def _key_field(self, bases: Sequence[str]) -> str | None:
        creates = (self._by_path.get(base, {}).get("POST") for base in bases)
        pointers = (
            expression.name.removeprefix("/")
            for route in creates
            if route is not None
            for expression in route.expressions
            if expression.source == "body"
        )
        return next((pointer for pointer in pointers if pointer and "/" not in pointer), None)

    def _meaning(self, route: Route) -> Meaning:
        if route.is_token:
            return Meaning("token", None, None, None, "its path is the tokenUrl of an OAuth2 security scheme")
        head, _, last = route.path.rpartition("/")
        if route.path in self._bases:
            return self._of_collection(route)
        parameter = parameter_of(last)
        if parameter is not None and head in self._bases and route.method in _ITEM_ACTIONS:
            action = _ITEM_ACTIONS[route.method]
            name = self._named(route, self._names[head])
            why = (
                f"{route.method} on an item path {_VERBS[action]} the record of {name} that {{{parameter}}} identifies"
            )
            return self._make(action, name, parameter, None, why, self._parents.get(head))
        part = self._parts.get(route.path)
        if part is not None and route.method in _ITEM_ACTIONS:
            action = _ITEM_ACTIONS[route.method]
            why = (
                f"by x-collection {{{part[1]}}} identifies a record of {part[0]}, which {route.method} {_VERBS[action]}"
            )
            return self._make(action, part[0], part[1], None, why, None)
        return self._of_rest(route)

    def _of_collection(self, route: Route) -> Meaning:
        name = self._named(route, self._names[route.path])
        parent = self._parents.get(route.path)
        within = f" of the {{{parent.parameter}}} in the path (field {parent.field})" if parent else ""
        if route.method == "POST":
            return self._make(
                "create", name, None, None, f"POST on a collection path creates one of {name}{within}", parent
            )
        answers_array = route.answer is not None and (
            _schema_at(self._document, route.answer).get("type") == "array" or self._arrays(route.answer)
        )
        if route.method == "GET" and (answers_array or route.answer is None):
            envelope = self._envelope(route.answer, name)
            shape = f" in {envelope!r}" if envelope else " as a bare array"
            why = f"GET on a collection path lists {name}{within}{shape}"
            return self._make("list", name, None, envelope, why, parent)
        why = f"{route.method} on the collection path of {name} has no usual meaning; a mock's method must say"
        return self._make("none", name, None, None, why, parent)

    def _of_rest(self, route: Route) -> Meaning:
        """Actions, sub-resources and paths of no collection."""
        last = route.path.rpartition("/")[2]
        base, parameter = self._nearest_item(route.path, self._bases)
        if base is not None:
            name = self._named(route, self._names[base])
            if name != self._names[base]:
                parameter = parameter_of(last)
            why = f"an action on, or a part of, the {name} record {{{parameter}}}; a mock's method must say"
            return self._make("none", name, parameter, None, why, self._parents.get(base))
        above = next((known for known in reversed(self._bases) if route.path.startswith(f"{known}/")), None)
        if above is not None or route.explicit is not None:
            name = self._named(route, self._names[above] if above is not None else "")
            why = f"an action on the collection {name}; a mock's method must say"
            return self._make("none", name, None, None, why, None)
        return Meaning("none", None, None, None, "the path addresses no collection; a mock's method must say")

    @staticmethod
    def _named(route: Route, inferred: str) -> str:
        return route.explicit[0] if route.explicit is not None else inferred

    def _make(
        self,
        action: Action,
        name: str,
        parameter: str | None,
        envelope: str | None,
        why: str,
        parent: Parent | None,
    ) -> Meaning:
        collection = self.collections[name]
        return Meaning(action, name, parameter, envelope, why, collection.id_field, collection.key_field, parent)


class Addressed(Protocol):
    """An operation, as far as its business key goes."""

    @property
    def meaning(self) -> Meaning: ...

    @property
    def expressions(self) -> tuple[Expression, ...]: ...


def business_key(
    operation: Addressed,
    *,
    path: Mapping[str, Any],
    query: Mapping[str, Any],
    body: object,
    record: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None = None,
) -> str | None:
    """Which business object a call is about.

    With `x-business-key`: the first of its expressions that resolves. Without: the collection's key field, looked up in
    the record, the path, the query and the body; else the id in the path; else the id that the body brings along.

    Args:
        operation: The called operation.
        path: Path parameters by the names of the spec.
        query: Query parameters by the names of the spec.
        body: The parsed body, not yet validated; None when there is none.
        record: The stored record that the path addresses, if there is one.
        headers: Header fields, by any case.

    Returns:
        At most 255 characters, or None when the call is about no business object.
    """
    if operation.expressions:
        found = (
            expression.evaluate(path=path, query=query, headers=headers or {}, body=body, record=record)
            for expression in operation.expressions
        )
        return next((text for text in found if text is not None), None)
    meaning = operation.meaning
    sources = (record, path, query, body)
    if meaning.key_field is not None:
        for source in sources:
            if isinstance(source, Mapping) and (text := as_text(source.get(meaning.key_field))) is not None:
                return text
    if meaning.id_parameter is not None:
        return as_text(path.get(meaning.id_parameter))
    if meaning.action == "create" and isinstance(body, Mapping) and meaning.id_field is not None:
        return as_text(body.get(meaning.id_field))
    return None
