"""JSON documents, as all systems exchange them."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

__all__ = ["Json", "digest", "pick", "unix_time"]

Json = dict[str, Any]

_CANONICAL = json.JSONEncoder(sort_keys=True)


def digest(value: Any) -> str:
    """A fingerprint of a JSON value, whatever the order of its members."""
    return hashlib.sha256(_CANONICAL.encode(value).encode()).hexdigest()


def pick(record: Json, names: tuple[str, ...]) -> Json:
    """Some members of a record.

    Raises:
        KeyError: when one is missing.
    """
    return {name: record[name] for name in names}


def unix_time(timestamp: str) -> float:
    """An RFC 3339 timestamp in unix seconds.

    Raises:
        ValueError: when it is none.
    """
    return datetime.fromisoformat(timestamp).timestamp()
