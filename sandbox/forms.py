"""Bodies of forms, url-encoded or in several parts, as the JSON values that their schemas describe.

A form knows nothing but text. What a field is comes from its schema: `amount=1200` is a number where the schema says
so. Objects and lists in a form are written with brackets, `metadata[order]=7&items[0][price]=x`, as most who take forms
do; a name that the schema knows as it stands is left alone. In several parts (RFC 7578) a part that is JSON is read as
JSON, and a file is its text, or its bytes in base64 where they are none.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from sandbox.pointer import resolve

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
# A body in several parts, as far as anything else than its operation may look at it.
Pairs: TypeAlias = list[tuple[str, Any]]

_MOST: Final = 2_000
_DEEPEST: Final = 16
_BRACKETS: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,100}(?:\.[0-9]{1,100})?(?:[eE][-+]?[0-9]{1,3})?")
_COMPOSITES: Final = ("allOf", "anyOf", "oneOf")


def urlencoded(raw: bytes) -> Pairs:
    """The fields of a url-encoded form, in order.

    Raises:
        ValueError: It is none, or holds more than two thousand fields.
    """
    return [*parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST)]


def multipart(raw: bytes, content_type: str) -> Pairs:
    """The parts of a form, in order: (name, what is in it).

    Raises:
        ValueError: It is none: its boundary is missing, it is cut, or a part has no name.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind.decode("latin-1") != MULTIPART or not boundary:
        raise ValueError("its content type has no boundary")
    reader = _Parts()
    parser = MultipartParser(boundary, reader.callbacks)
    try:
        parser.write(raw)
        parser.finalize()
    except FormParserError as error:
        raise ValueError(str(error)) from None
    if not reader.ended:
        raise ValueError("its last boundary is missing")
    return reader.pairs


class _Parts:
    """Collects parts."""

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.ended = False
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}
        self._data = bytearray()
        self.callbacks: Any = {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._end,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers, self._data = {}, bytearray()

    def _header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._name, self._value = bytearray(), bytearray()

    def _end(self) -> None:
        if len(self.pairs) >= _MOST:
            raise ValueError(f"it holds more than {_MOST} parts")
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        name = options.get(b"name")
        if not name:
            raise ValueError("a part has no name")
        content_type = self._headers.get("content-type", "").partition(";")[0].strip().lower()
        self.pairs.append((name.decode("utf-8", "replace"), _content(bytes(self._data), content_type)))

    def _finish(self) -> None:
        self.ended = True


def _content(data: bytes, content_type: str) -> Any:
    if content_type == "application/json" or content_type.endswith("+json"):
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"a part is not JSON: {error}") from None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()


def flat(pairs: Pairs) -> dict[str, Any]:
    """The fields by name; what is sent more than once is a list."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def shaped(
    pairs: Pairs, schema: Mapping[str, Any], document: Mapping[str, Any], joined: Iterable[str] = ()
) -> dict[str, Any]:
    """The value that a form stands for.

    Args:
        pairs: Its fields in order.
        schema: Of the whole form.
        document: In which the schema's references lie.
        joined: The fields whose lists are written as one text, joined by commas.

    Raises:
        ValueError: A name is nested deeper than anything reasonable.
    """
    shaper = _Shaper(document)
    tree: dict[str, Any] = {}
    known = shaper.properties([schema])
    for name, value in pairs:
        steps = [name]
        matched = _BRACKETS.fullmatch(name)
        if matched is not None and name not in known:
            steps = [matched[1], *re.findall(r"\[([^\[\]]*)\]", matched[2])]
        if len(steps) > _DEEPEST:
            raise ValueError("a name is nested too deeply")
        _put(tree, steps, value)
    for name in joined:
        if isinstance(tree.get(name), _Many) and all(isinstance(one, str) for one in tree[name].values):
            tree[name] = _Many([part for one in tree[name].values for part in one.split(",")])
    # A form is an object, whatever else its schema may say.
    return {name: shaper.shape(child, shaper.below([schema], name)) for name, child in tree.items()}


def parameter_value(values: Sequence[str], schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    """The value of a parameter whose schema is no plain one, such as one of several types.

    Args:
        values: All that was sent under its name, in order; at least one.
    """
    return _Shaper(document).shape(_Many(list(values)), [schema])


def deep_object(
    pairs: Pairs, name: str, schema: Mapping[str, Any], document: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The object that is written as `name[field]=value` in a query; None when none of its fields is there.

    Raises:
        ValueError: A field is nested deeper than anything reasonable.
    """
    own = [(key, value) for key, value in pairs if key.startswith(f"{name}[")]
    found = shaped(own, {"properties": {name: schema}}, document).get(name) if own else None
    return found if isinstance(found, dict) else None


class _Many:
    """All that was sent under one name."""

    __slots__ = ("values",)

    def __init__(self, values: list[Any]) -> None:
        self.values = values


def _put(tree: dict[str, Any], steps: Sequence[str], value: Any) -> None:
    for step in steps[:-1]:
        below = tree.setdefault(step, {})
        if not isinstance(below, dict):
            below = tree[step] = {}
        tree = below
    there = tree.get(steps[-1])
    if isinstance(there, _Many):
        there.values.append(value)
    else:
        tree[steps[-1]] = _Many([value])


class _Shaper:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def shape(self, value: Any, schemas: Sequence[Any]) -> Any:
        """What was sent, by the schemas of its place."""
        places = self._all(schemas)
        kinds = {kind for place in places for kind in _kinds(place)}
        if isinstance(value, _Many):
            return self._many(value.values, places, kinds)
        keys = list(value)
        counted = [*map(str, range(len(keys)))]
        if "array" in kinds or (keys in (counted, [""]) and "object" not in kinds):
            items = [place["items"] for place in places if isinstance(place.get("items"), Mapping)]
            children = [*value.values()] if keys != [""] else [_Many([one]) for one in value[""].values]
            return [self.shape(child, items) for child in children]
        return {name: self.shape(child, self._below(places, name)) for name, child in value.items()}

    def below(self, schemas: Sequence[Any], name: str) -> list[Any]:
        """The schemas of a field."""
        return self._below(self._all(schemas), name)

    def _many(self, values: list[Any], places: Sequence[Mapping[str, Any]], kinds: set[str]) -> Any:
        if "array" in kinds and not (len(values) == 1 and (isinstance(values[0], list) or kinds & {"string"})):
            items = self._all([place["items"] for place in places if isinstance(place.get("items"), Mapping)])
            if len(values) == 1 and isinstance(found := _json(values[0]), list):
                return found
            return [_scalar(value, {kind for item in items for kind in _kinds(item)}) for value in values]
        if len(values) > 1:
            return [_scalar(value, kinds) for value in values]
        return _scalar(values[0], kinds)

    def properties(self, schemas: Sequence[Any]) -> frozenset[str]:
        """The names that schemas know."""
        return frozenset(
            name
            for place in self._all(schemas)
            if isinstance(place.get("properties"), Mapping)
            for name in place["properties"]
        )

    def _below(self, places: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
        found = []
        for place in places:
            properties = place.get("properties")
            own = properties.get(name) if isinstance(properties, Mapping) else None
            found.append(own if own is not None else place.get("additionalProperties"))
        return found

    def _all(self, schemas: Sequence[Any]) -> list[Mapping[str, Any]]:
        """Schemas and all that they are composed of, references followed."""
        found: dict[int, Mapping[str, Any]] = {}
        stack = list(schemas)
        while stack:
            schema = resolve(self._document, stack.pop())
            if isinstance(schema, Mapping) and id(schema) not in found:
                found[id(schema)] = schema
                for keyword in _COMPOSITES:
                    parts = schema.get(keyword)
                    stack.extend(parts if isinstance(parts, list) else ())
        return list(found.values())


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type")
    if kind is None and "properties" in schema:
        return ["object"]
    return [kind] if isinstance(kind, str) else [one for one in kind if isinstance(one, str)] if kind else []


def _scalar(value: Any, kinds: set[str]) -> Any:
    """A text in the type that its schema asks for; the text itself where it does not fit."""
    if not isinstance(value, str):
        return value
    if "integer" in kinds and _INTEGER.fullmatch(value):
        return int(value)
    if kinds & {"number", "integer"} and _NUMBER.fullmatch(value):
        return float(value)
    if "boolean" in kinds and value in ("true", "false"):
        return value == "true"
    if kinds & {"object", "array"} and "string" not in kinds and isinstance(found := _json(value), dict | list):
        return found
    return value


def _json(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def written(value: Mapping[str, Any]) -> bytes:
    """A value as a url-encoded form, objects and lists in brackets: what `shaped` reads."""
    return urlencode([pair for name, inner in value.items() for pair in _pairs(name, inner)]).encode()


def parted(value: Mapping[str, Any], boundary: str) -> bytes:
    """A value as a form in several parts (RFC 7578); objects and lists are parts of JSON."""
    lines: list[bytes] = []
    for name, inner in value.items():
        plain = isinstance(inner, str | int | float) and not isinstance(inner, bool)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        kind = "" if plain else "Content-Type: application/json\r\n"
        lines.append(f"{head}{kind}\r\n".encode() + (str(inner).encode() if plain else orjson.dumps(inner)))
    return b"\r\n".join([*lines, f"--{boundary}--\r\n".encode()])


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _pairs(f"{name}[{key}]", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _pairs(f"{name}[{index}]", inner)
    elif isinstance(value, bool):
        yield name, str(value).lower()
    elif value is not None:
        yield name, str(value)
