"""OpenAPI runtime expressions, as far as a request alone can answer them, and one addition: `$record`.

`$request.path.NAME`, `$request.query.NAME`, `$request.header.NAME`, `$request.body`, `$request.body#/POINTER` are those
of OpenAPI 3.0.3, "Runtime Expressions"; `$record#/POINTER` is a field of the stored record that the path addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from sandbox.pointer import lookup, split

Source: TypeAlias = Literal["path", "query", "header", "body", "record"]

MAX_TEXT: Final = 255
_NAMED: Final[tuple[Source, ...]] = ("path", "query", "header")
_POINTED: Final[tuple[tuple[str, Source], ...]] = (("$request.body", "body"), ("$record", "record"))


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed runtime expression.

    Args:
        text: As written.
        source: Where to look.
        name: The parameter's name, or the JSON pointer into the body or record.
    """

    text: str
    source: Source
    name: str

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Parse one expression.

        Raises:
            ValueError: It is none, or one that only an answer could resolve.
        """
        for source in _NAMED:
            name = text.removeprefix(f"$request.{source}.")
            if name and name != text:
                return cls(text, source, name)
        for prefix, source in _POINTED:
            if text == prefix and source == "body":
                return cls(text, source, "")
            pointer = text.removeprefix(f"{prefix}#")
            if pointer != text:
                split(pointer)
                return cls(text, source, pointer)
        raise ValueError(
            f"{text!r} is no expression this can resolve: write $request.path.NAME, $request.query.NAME, "
            "$request.header.NAME, $request.body#/POINTER or $record#/POINTER"
        )

    def evaluate(
        self,
        *,
        path: Mapping[str, Any],
        query: Mapping[str, Any],
        headers: Mapping[str, str],
        body: object,
        record: Mapping[str, Any] | None,
    ) -> str | None:
        """The value as `as_text` gives it; None when nothing is there."""
        match self.source:
            case "path":
                return as_text(path.get(self.name))
            case "query":
                return as_text(query.get(self.name))
            case "header":
                wanted = self.name.lower()
                return as_text(next((value for name, value in headers.items() if name.lower() == wanted), None))
            case "body":
                return _pointed(body, self.name)
            case "record":
                return _pointed(record, self.name)


def as_text(value: object) -> str | None:
    """A scalar as JSON writes it (strings bare), cut to 255 characters; None for all else and for the empty string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)[:MAX_TEXT] or None
    return None


def _pointed(value: object, pointer: str) -> str | None:
    try:
        return as_text(lookup(value, pointer))
    except KeyError:
        return None
