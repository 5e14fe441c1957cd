"""Form bodies as values: `items[0][price]=…` is an object in an array, and a text becomes what its schema says it is.

Brackets as PHP, Rails and Stripe read them: `a[b]` a field, `a[]` one more item, `a[0]` an item by its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qsl

_PART: Final = re.compile(r"\[([^\[\]]*)\]")
_DEEPEST: Final = 16
_MOST: Final = 500
_LONGEST_FILE: Final = 10_000


def read_form(text: str) -> dict[str, Any]:
    """The fields of `application/x-www-form-urlencoded`; a list for what is sent more than once.

    Raises:
        ValueError: it is not well formed, or has more than 500 fields.
    """
    return nested(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST))


def read_multipart(raw: bytes, content_type: str) -> dict[str, Any]:
    """The fields of `multipart/form-data`; of a file, its first ten thousand characters.

    Raises:
        ValueError: it is not well formed.
    """
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + raw)
    if not message.is_multipart():
        raise ValueError("no parts")
    fields: list[tuple[str, str]] = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields.append((name, payload[:_LONGEST_FILE].decode("utf-8", "replace")))
    return nested(fields[:_MOST])


def nested(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The value that names with brackets describe."""
    found: dict[str, Any] = {}
    for name, value in fields:
        head, bracket, _ = name.partition("[")
        path = _PART.findall(name[len(head) :]) if bracket and head else []
        if len(path) > _DEEPEST or (path and head + "".join(f"[{part}]" for part in path) != name):
            path = []
        _put(found, [head, *path] if path else [name], value)
    return {name: _lists(value) for name, value in found.items()}


def _put(target: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        inner = target.setdefault(_next(target) if part == "" else part, {})
        if not isinstance(inner, dict):
            # `a=1&a[b]=2`: the later word counts.
            inner = target[part] = {}
        target = inner
    last = path[-1]
    if last == "":
        target[_next(target)] = value
    elif last not in target:
        target[last] = value
    else:
        known = target[last]
        target[last] = [*known, value] if isinstance(known, list) else [known, value]


def _next(target: dict[str, Any]) -> str:
    return str(len(target))


def _lists(value: Any) -> Any:
    """The value with a list in the place of an object whose fields are numbers from 0 on."""
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(child) for name, child in value.items()}
    if inner and all(name.isdecimal() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
