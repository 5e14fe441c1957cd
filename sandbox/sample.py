"""Believable values for a schema: its examples first, then its own constraints, then Faker by name and format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.seeded import SeededFaker, Tapes
from sandbox.shaping import Shaper
from sandbox.values import Muse

__all__ = ["SeededFaker", "Tapes", "sample"]


def sample(
    schema: Mapping[str, Any],
    document: Mapping[str, Any],
    faker: SeededFaker,
    timestamp: str,
    name: str = "",
    hidden: str = "",
) -> Any:
    """A value that fits a schema.

    Args:
        schema: A schema object.
        document: The document in which its references lie.
        faker: The seeded source of data.
        timestamp: What a `date-time` is filled with (RFC 3339).
        name: The property's name, which says what kind of text is believable.
        hidden: The keyword of fields to leave out: `readOnly` in what one sends.
    """
    return Shaper(document, hidden).complete(schema, Muse(faker, timestamp), name=name)
