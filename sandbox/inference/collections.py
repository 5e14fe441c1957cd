"""Collections: at which paths records lie, what they are called, and in which record they are nested."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sandbox.inference.envelopes import USUAL, is_usual, item_place, list_place, schema_there
from sandbox.inference.identity import holder_of, id_field, id_names, names_one
from sandbox.inference.meaning import Collection, Parent, Place, Route, Stamp
from sandbox.inference.schemas import Schema, fields_of, kind_of, plain, required_of, scalar_of, schema_at
from sandbox.inference.words import is_plural, same, snake, words

# Behind a collection these are something that is done to it, and no collection of their own.
_STAMPS: Final[Mapping[tuple[str, ...], Stamp]] = {
    ("created",): "created",
    ("creation",): "created",
    ("updated",): "updated",
    ("modified",): "updated",
    ("last", "updated"): "updated",
    ("last", "modified"): "updated",
    ("changed",): "updated",
}
# What says how an id is written.
_FORM: Final = frozenset(("format", "pattern", "enum", "maxLength", "minLength", "minimum"))
_STRICT: Final = frozenset(("format", "pattern", "enum"))
# What an operation's name says of one that creates what is not there yet.
_CREATES: Final = frozenset("create upsert add register save".split())
# Parts of a path that say nothing of the records behind them.
_VERSION: Final = re.compile(r"v?[0-9.]*|api|rest|\{.*\}")
SEARCHES: Final = frozenset("search query find filter lookup list".split())
DEEDS: Final = frozenset("search batch bulk count query lookup find filter import export upsert merge list".split())


def parameter_of(segment: str) -> str | None:
    """The parameter that fills a whole path segment: `order_number` for `{order_number}`."""
    whole = segment.startswith("{") and segment.endswith("}") and segment.count("{") == 1
    return segment[1:-1] if whole else None


class Paths:
    """The paths of a document, and which of them are collections."""

    def __init__(self, routes: Sequence[Route], document: Schema) -> None:
        self.document = document
        self.by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            self.by_path.setdefault(route.path, {})[route.method] = route
        # Collections of several kinds of records, /objects/{objectType}: by path, the parameter that names the kind.
        self.kinds = {path: last for path in self.by_path if (last := self._kind(path)) is not None}
        # The item path of each collection path: /orders -> /orders/{order_number}.
        self.items: dict[str, str] = {}
        for path in sorted(self.by_path, key=lambda path: path.count("/")):
            self._add_item(path)
        self.names: dict[str, str] = {}
        self.parents: dict[str, Parent] = {}
        self.bases = self._find_bases()

    def _kind(self, path: str) -> str | None:
        """The parameter at the end of a path that says of which kind the records are that lie there."""
        head, _, last = path.rpartition("/")
        parameter, methods = parameter_of(last), self.by_path[path]
        below = any(one.rpartition("/")[0] == path and parameter_of(one.rpartition("/")[2]) for one in self.by_path)
        if parameter is None or not below or not {"GET", "POST"} & methods.keys() or self.by_path.get(head):
            return None
        listed = methods.get("GET")
        many = listed is None or list_place(listed.answer, "", self.document) is not None
        return parameter if many and "{" not in head else None

    def _add_item(self, path: str) -> None:
        base, _, last = path.rpartition("/")
        if path in self.kinds:
            return
        if base and parameter_of(last) and ("{" not in base.rpartition("/")[2] or base in self.kinds):
            other = self.items.get(base)
            # Of two ways to name a record, `{ContactNumber}` and `{ContactID}`, the id is the better one.
            if other is None or (_is_id(last) and not _is_id(other.rpartition("/")[2])):
                self.items[base] = path

    def routes(self) -> Iterator[Route]:
        for methods in self.by_path.values():
            yield from methods.values()

    def _find_bases(self) -> list[str]:
        """The paths at which a collection lies, parents first, named on the way."""
        candidates = dict.fromkeys([*self.by_path, *self.items])
        bases: list[str] = []
        for path in sorted(candidates, key=lambda path: path.count("/")):
            if self._is_base(path, bases):
                bases.append(path)
                self.names[path] = self._name(path)
        return bases

    def _is_base(self, path: str, known: list[str]) -> bool:
        head, _, last = path.rpartition("/")
        methods = self.by_path.get(path, {})
        if path in self.kinds:
            self.parents[path] = Parent("", self.kinds[path], f"@{self.kinds[path]}", strict=False)
            return True
        if not last or "{" in last or any(route.is_token for route in methods.values()):
            return False
        if self._is_deed(path, known) or self.searched_at(path) is not None or self._is_other_id(path, known):
            return False
        parent_path, parameter = self.nearest_item(path, known)
        if parent_path is None or parameter is None:
            flat = "{" not in head or bool(methods)
            own = head not in known or self._is_foreign(path, head)
            return flat and (path in self.items or (own and (self._creates(path) or self.lists(path))))
        if not methods or not (self.lists(path) or path in self.items or self._creates(path, self.names[parent_path])):
            return False
        parent = self.names[parent_path]
        explicit = self.explicit(path)
        if explicit is not None and explicit[0] == parent:
            return False
        fields = fields_of(self.item_schema([path]), self.document)
        holder = holder_of(fields, parent, parameter) or f"@{parameter}"
        self.parents[path] = Parent(parent, parameter, holder, self.is_created(parent_path))
        return True

    def searched_at(self, path: str) -> str | None:
        """The path of the collection that another beside it searches: `/invoices` of `/search-invoices`."""
        head, _, last = path.rpartition("/")
        said = words(last)
        if len(said) < 2 or said[0] not in SEARCHES:
            return None
        beside = (one for one in (*self.by_path, *self.items) if one.rpartition("/")[0] == head)
        return next((one for one in beside if same(one.rpartition("/")[2], "_".join(said[1:]))), None)

    def _is_other_id(self, path: str, known: list[str]) -> bool:
        """Whether a path leads to records by another field than their id: `/batches/external_id/{external_id}`."""
        head, _, last = path.rpartition("/")
        parameter = parameter_of(self.items.get(path, "").rpartition("/")[2])
        if parameter is None or path in self.by_path or head not in known:
            return False
        said = words(last)
        return said[:1] == ("by",) or said == words(parameter)

    @staticmethod
    def _is_deed(path: str, known: list[str]) -> bool:
        """Whether a path is something that is done to a collection: `/contacts/batch/create`, `/orders/{id}/search`."""
        above = next((base for base in reversed(known) if path.startswith(f"{base}/")), None)
        behind = [] if above is None else path.removeprefix(above).split("/")
        return any(bool(DEEDS & set(words(part)[:1])) for part in behind if part and "{" not in part)

    def _is_foreign(self, path: str, head: str) -> bool:
        """Whether what is created at `/customers/addresses` is no customer."""
        if "POST" not in self.by_path.get(path, {}):
            return False
        one, other = self.item_schema([path]), self.item_schema([head])
        if one is None or other is None:
            return False
        fields, of_head = fields_of(one, self.document), fields_of(other, self.document)
        return names_one(fields, snake(path.rpartition("/")[2])) and fields.keys() != of_head.keys()

    def _creates(self, path: str, parent: str | None = None) -> bool:
        """Whether a POST of the path makes a record of its own."""
        post = self.by_path.get(path, {}).get("POST")
        last = path.rpartition("/")[2]
        if post is None:
            return False
        if parent is None and post.success_status == 201:
            return True
        if post.answer is None or not is_plural(last):
            return False
        place = item_place(post.answer, snake(last), (), self.document)
        schema = schema_there(post.answer, place, self.document)
        if parent is not None:
            kept = self.item_schema([base for base in self.names if self.names[base] == parent])
            if kept is not None and schema_at(self.document, kept) is schema_at(self.document, schema):
                return False
        return names_one(fields_of(plain(schema, self.document), self.document), snake(last))

    def is_created(self, base: str) -> bool:
        """Whether some operation creates the records of a collection path."""
        name = self.names.get(base)
        paths = [path for path in self.names if self.names[path] == name] or [base]
        return any(self.by_path.get(path, {}).keys() & {"POST", "PUT"} for path in paths) or self.is_keyed(paths)

    def is_keyed(self, bases: Sequence[str]) -> bool:
        """Whether records are created under ids that the caller chooses: by a PUT or POST of an item alone.

        Where they are listed, they are there already, unless the operation says that it creates one.
        """
        if any(self.by_path.get(path, {}).keys() & {"POST", "PUT"} for path in bases):
            return False
        items = [self.by_path.get(self.items.get(path, ""), {}) for path in bases]
        written = [methods[method] for methods in items for method in ("PUT", "POST") if method in methods]
        if any(route.success_status == 201 or _CREATES & set(words(route.id)) for route in written):
            return True
        if any("{" in path for path in bases) and written and not any("GET" in methods for methods in items):
            # What is put below another record, `/users/{id}/roles/{role}`, and is not read by itself.
            return True
        unknown = any("PUT" in methods or ("POST" in methods and "GET" not in methods) for methods in items)
        return unknown and not any(self.lists(path) for path in bases)

    def lists(self, path: str) -> bool:
        """Whether a GET of the path answers an array of records, bare or in an envelope of a usual name."""
        get = self.by_path.get(path, {}).get("GET")
        if get is None or get.answer is None:
            return False
        last = path.rpartition("/")[2]
        explicit = self.explicit(path)
        place = list_place(get.answer, snake(last), self.document)
        return is_usual(place, snake(last)) or (explicit is not None and is_usual(place, explicit[0]))

    def explicit(self, base: str) -> tuple[str, str | None] | None:
        """The `x-collection` of a collection path or of its item path."""
        for path in (base, self.items.get(base, "")):
            for route in self.by_path.get(path, {}).values():
                if route.explicit is not None:
                    return route.explicit
        return None

    def _name(self, base: str) -> str:
        explicit = self.explicit(base)
        if explicit is not None:
            return explicit[0]
        last = base.rpartition("/")[2]
        if base in self.kinds:
            last = base.split("/")[-2]
            last = self.kinds[base] if _VERSION.fullmatch(last) else last
        name = snake(last) or "records"
        name = name if name.isidentifier() else f"r_{name}"
        parent = self.parents.get(base)
        # Notes of orders and notes of customers are not the same records; /v1/orders and /v2/orders are.
        if parent is not None and parent.collection:
            return f"{parent.collection}_{name}" if name in self.names.values() else name
        return f"{snake(base.split('/')[-2])}_{name}" if self._is_another(base, name) else name

    def _is_another(self, base: str, name: str) -> bool:
        """Whether other records of that name are known: /disputes, and not those of /issuing/disputes."""
        other = next((known for known, given in self.names.items() if given == name), None)
        if other is None or len(base.split("/")) < 3 or not snake(base.split("/")[-2]).isidentifier():
            return False
        heads = [[part for part in path.split("/")[:-1] if not _VERSION.fullmatch(part)] for path in (base, other)]
        schemas = [schema_at(self.document, self.item_schema([path]) or {}) for path in (base, other)]
        if all(path.rpartition("/")[0] in self.names for path in (base, other)):
            return True
        return heads[0] != heads[1] and all(schemas) and schemas[0] is not schemas[1]

    def nearest_item(self, path: str, bases: Sequence[str]) -> tuple[str | None, str | None]:
        """The collection path and parameter of the nearest record in front of the end of a path."""
        segments = path.split("/")
        for end in range(len(segments) - 1, 0, -1):
            base = "/".join(segments[:end])
            parameter = parameter_of(segments[end])
            if parameter is not None and base in bases:
                return base, parameter
        return None, None

    def item_schema(self, bases: Sequence[str]) -> Schema | None:
        """The schema of a record: what reading one answers, else an item of the list, else what creating one takes."""
        for base in bases:
            name = snake(base.rpartition("/")[2])
            item = self.by_path.get(self.items.get(base, ""), {})
            own = self.by_path.get(base, {})
            parameter = parameter_of(self.items.get(base, "").rpartition("/")[2])
            for route, is_list in ((item.get("GET"), False), (own.get("GET"), True), (own.get("POST"), False)):
                if route is None or route.answer is None:
                    continue
                schema = self._one(route.answer, name, parameter, is_list=is_list)
                if schema is not None and fields_of(plain(schema, self.document), self.document):
                    return schema
            for route in (own.get("POST"), item.get("PUT"), item.get("PATCH"), item.get("POST"), own.get("PUT")):
                if route is not None and (schema := route.answer or route.body) is not None:
                    return self._one(schema, name, parameter, is_list=False)
        return None

    def _one(self, schema: Schema, name: str, parameter: str | None, *, is_list: bool) -> Schema | None:
        place: Place | None = list_place(schema, name, self.document) if is_list else None
        if place is None:
            place = item_place(schema, name, own_names(schema, name, parameter, self.document), self.document)
        return schema_there(schema, place, self.document)

    def collection(self, name: str, part: Schema | None, key_field: str | None) -> Collection:
        """The collection of a name, but for what it has to do with others.

        Args:
            part: The schema of what is kept apart from the record that it is a part of.
        """
        bases = [base for base in self.bases if self.names[base] == name]
        schema = plain(self.item_schema(bases) or part or {}, self.document)
        fields = fields_of(schema, self.document)
        declared = (route.explicit[1] for route in self.routes() if route.explicit and route.explicit[0] == name)
        parameters = [parameter_of(self.items[base].rpartition("/")[2]) for base in bases if base in self.items]
        chosen = next((declared_id for declared_id in declared if declared_id), None)
        if chosen is None:
            found = (id_field(fields, name, parameter) for parameter in (*parameters, None))
            chosen = next((one for one in found if one is not None), "id")
        return Collection(
            name,
            chosen,
            schema,
            fields,
            required_of(schema, self.document),
            key_field,
            self._id_schema(bases, fields.get(chosen, {})),
            stamps=stamps_of(fields, required_of(schema, self.document)),
            keyed=self.is_keyed(bases),
        )

    def _id_schema(self, bases: Sequence[str], own: Schema) -> Schema:
        """What an id looks like: as the record says it, narrowed by the path parameter."""
        asked: Mapping[str, object] = {}
        for base in bases:
            path = self.items.get(base, "")
            parameter = parameter_of(path.rpartition("/")[2])
            for route in self.by_path.get(path, {}).values():
                asked = next((one.schema for one in route.arguments if one.name == parameter), asked)
        own, asked = scalar_of(own, self.document), scalar_of(asked, self.document)
        kind = kind_of(own, self.document)
        same_kind = kind == kind_of(asked, self.document)
        if not own or (same_kind and any(form & asked.keys() and not form & own.keys() for form in (_STRICT, _FORM))):
            return asked
        if kind == "string" and kind_of(asked, self.document) in ("integer", "number"):
            return {**own, "format": "digits"}
        return own


def _is_id(segment: str) -> bool:
    return (words(segment) or ("",))[-1] in ("id", "uuid", "guid")


def stamps_of(fields: Mapping[str, Schema], required: frozenset[str]) -> dict[str, Stamp]:
    """The fields that say when a record was created or last changed: `created_at`, `updatedAt`, `UpdatedDateUTC`.

    Where an object says what it requires, others are for those who know more; those of the plainest names are filled.
    """
    found: dict[str, Stamp] = {}
    for name, schema in fields.items():
        said = [
            word for word in words(name) if word not in ("at", "date", "time", "on", "utc", "timestamp", "datetime")
        ]
        kind = _STAMPS.get(tuple(said))
        if kind is None or schema.get("type") in ("object", "array", "boolean"):
            continue
        is_moment = schema.get("format") in ("date-time", "date", "timestamp", "unix-time", "int64")
        if schema.get("type") == "string" and not is_moment and len(words(name)) < 2:
            continue
        if not required or name in required or name in ("created_at", "updated_at"):
            found[name] = kind
    return found


def own_names(schema: Schema, name: str, parameter: str | None, document: Schema) -> tuple[str, ...]:
    """The fields of an object that may be its id, as written."""
    candidates = set(id_names(name, parameter))
    fields = fields_of(plain(schema, document), document)
    return tuple(
        field
        for field, value in fields.items()
        if " ".join(words(field)) in candidates and kind_of(value, document) not in ("object", "array")
    )


__all__ = ["DEEDS", "SEARCHES", "USUAL", "Paths", "own_names", "parameter_of"]
