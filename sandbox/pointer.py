"""JSON pointers (RFC 6901) and local references (`$ref: '#/…'`)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

MAX_REFERENCE_HOPS: Final = 64


def escape(token: object) -> str:
    """One reference token of a JSON pointer, escaped as RFC 6901 says."""
    return str(token).replace("~", "~0").replace("/", "~1")


def join(*tokens: object) -> str:
    """A JSON pointer of raw tokens: `join("paths", "/orders")` is `/paths/~1orders`."""
    return "".join("/" + escape(token) for token in tokens)


# The references of a document are followed again and again.
@functools.lru_cache(maxsize=4096)
def split(pointer: str) -> tuple[str, ...]:
    """The raw tokens of a JSON pointer; none for the whole document.

    Raises:
        ValueError: The pointer is neither empty nor begins with `/`.
    """
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON pointer: it must begin with '/'")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/"))


def lookup(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer.

    Raises:
        KeyError: Nothing is there.
    """
    for token in split(pointer):
        if (type(value) is dict or isinstance(value, Mapping)) and token in value:
            value = value[token]
        elif isinstance(value, list) and token.isdecimal() and int(token) < len(value):
            value = value[int(token)]
        else:
            raise KeyError(pointer)
    return value


def reference(node: Any) -> str | None:
    """The target of a reference object, such as `#/components/schemas/Order`; None for anything else."""
    # Asked of every schema again and again: whether a plain dict is a mapping need not be found out each time.
    target = node.get("$ref") if type(node) is dict or isinstance(node, Mapping) else None
    return target if isinstance(target, str) else None


def resolve(document: Mapping[str, Any], node: Any) -> Any:
    """What a node stands for: itself, or the end of its chain of local references.

    Raises:
        KeyError: A reference is not local, leads nowhere, or only to itself.
    """
    if type(node) is dict and "$ref" not in node:
        return node
    for _ in range(MAX_REFERENCE_HOPS):
        target = reference(node)
        if target is None:
            return node
        if not target.startswith("#"):
            raise KeyError(target)
        try:
            node = lookup(document, unquote(target[1:]))
        except (KeyError, ValueError):
            raise KeyError(target) from None
    raise KeyError(reference(node))
