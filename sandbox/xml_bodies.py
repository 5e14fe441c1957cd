"""Bodies in XML as the JSON values that their schemas describe, and back (OpenAPI 3.0.3, "XML Object").

`xml.name`, `attribute` and `wrapped` count; prefixes of namespaces do not. A document type is refused, and with it
every entity that it could define.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from sandbox.inference.schemas import fields_of, items_of, kind_of, plain, schema_at
from sandbox.values import converted

_DEEPEST: Final = 64


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str]
    children: list[_Element] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


def read(raw: bytes, schema: Any, document: Mapping[str, Any]) -> Any:
    """The value that a document stands for.

    Raises:
        ValueError: it is no XML, has a document type, or is nested deeper than anything reasonable.
    """
    return _value(_parsed(raw), schema, document)


def written(value: Any, schema: Any, document: Mapping[str, Any], name: str = "body") -> bytes:
    """A value as a document.

    Args:
        name: Of the outermost element where its schema says none.
    """
    inner = schema_at(document, schema)
    reference = str(schema.get("$ref", "")) if isinstance(schema, Mapping) else ""
    root = _named(inner, reference.rpartition("/")[2] or name)
    return ('<?xml version="1.0" encoding="UTF-8"?>' + _element(root, value, inner, document)).encode()


def _parsed(raw: bytes) -> _Element:
    parser = expat.ParserCreate()
    top = _Element("", {})
    stack = [top]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > _DEEPEST:
            raise ValueError(f"is nested deeper than {_DEEPEST} levels")
        one = _Element(_local(name), {_local(key): text for key, text in attributes.items()})
        stack[-1].children.append(one)
        stack.append(one)

    def say(text: str) -> None:
        stack[-1].text.append(text)

    def refuse(*_: Any) -> None:
        raise ValueError("has a document type, which is not read")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = say
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(raw, True)  # noqa: FBT003 - expat takes it by position
    except expat.ExpatError as error:
        raise ValueError(f"is not XML: {error}") from None
    return top.children[0]


def _value(element: _Element, schema: Any, document: Mapping[str, Any]) -> Any:
    known = plain(schema or {}, document)
    kind = kind_of(known, document)
    if kind == "array":
        return [_value(child, items_of(known, document), document) for child in element.children]
    fields = fields_of(known, document)
    if not fields and (element.children or kind == "object"):
        return {child.name: _value(child, {}, document) for child in element.children}
    if not fields:
        return _scalar("".join(element.text), kind)
    found: dict[str, Any] = {}
    taken: set[str] = set()
    for name, one in fields.items():
        inner = plain(one, document)
        wire, said = _named(one, name), _said(one)
        taken.add(wire)
        if said.get("attribute"):
            if wire in element.attributes:
                found[name] = _scalar(element.attributes[wire], kind_of(inner, document))
            continue
        if kind_of(inner, document) == "array" and not said.get("wrapped"):
            items = items_of(inner, document)
            wire = _named(schema_at(document, items), wire)
            taken.add(wire)
            several = [_value(child, items, document) for child in element.children if child.name == wire]
            found |= {name: several} if several else {}
            continue
        child = next((child for child in element.children if child.name == wire), None)
        if child is not None:
            found[name] = _value(child, inner, document)
    others = (child for child in element.children if child.name not in taken)
    return {**found, **{child.name: _value(child, {}, document) for child in others}}


def _scalar(text: str, kind: str) -> Any:
    text = text if kind == "string" else text.strip()
    value = converted(kind, text) if kind in ("integer", "number", "boolean") else None
    return text if value is None else value


def _element(name: str, value: Any, schema: Any, document: Mapping[str, Any]) -> str:
    known = plain(schema or {}, document)
    if isinstance(value, list):
        items = items_of(known, document) or {}
        item = _named(schema_at(document, items), str(items.get("$ref", "")).rpartition("/")[2] or "item")
        inside = "".join(_element(item, one, items, document) for one in value)
        return f"<{name}>{inside}</{name}>"
    if not isinstance(value, Mapping):
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        return f"<{name}>{escape(text)}</{name}>"
    fields, attributes, inside = fields_of(known, document), "", ""
    for key, one in value.items():
        inner = fields.get(key, {})
        said, wire = _said(inner), _named(inner, key)
        if said.get("attribute"):
            attributes += f" {wire}={quoteattr(str(one))}"
        elif isinstance(one, list):
            items = items_of(plain(inner, document), document) or {}
            item = _named(schema_at(document, items), wire)
            parts = "".join(_element(item, each, items, document) for each in one)
            inside += f"<{wire}>{parts}</{wire}>" if said.get("wrapped") else parts
        elif one is not None:
            inside += _element(wire, one, inner, document)
    return f"<{name}{attributes}>{inside}</{name}>"


def _said(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    said = schema.get("xml")
    return said if isinstance(said, Mapping) else {}


def _named(schema: Mapping[str, Any], name: str) -> str:
    return str(_said(schema).get("name") or name)


def _local(name: str) -> str:
    return name.rpartition(":")[2]
