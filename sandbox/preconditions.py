"""Lost updates: `ETag` and `If-Match` (RFC 9110, section 13.1.1; RFC 6585 for 428)."""

from __future__ import annotations

import re
from typing import Final

from sandbox.exchange import Exchange
from sandbox.model import Problem
from sandbox.spec import Operation

_TAGS: Final = re.compile(r'\s*(W/)?"([^"]*)"\s*(?:,|$)')


def entity_tag(version: int) -> str:
    """The strong entity tag of a version."""
    return f'"v{version}"'


def check_if_match(exchange: Exchange, operation: Operation, version: int | None) -> Problem | None:
    """Compare `If-Match` with the addressed record's version (None: there is no such record).

    Returns:
        The 412 to give if the call turns out to change something; None when the condition holds. One's own lost update
        is recognised by that: a request whose state is already the present one changes nothing.

    Raises:
        Problem: 428 when the operation requires the condition and it is missing, 400 when it is malformed.
    """
    if not operation.accepts_if_match:
        return None
    given = exchange.header("if-match")
    if given is None:
        if operation.requires_if_match and version is not None:
            raise Problem(
                428,
                "this operation requires If-Match with the ETag of what you have read",
                type="precondition-required",
                errors=[{"pointer": "If-Match", "detail": "is required"}],
            )
        return None
    if version is None or given.strip() == "*":
        return None
    tags = list(_TAGS.finditer(given))
    if not tags or sum(len(tag[0]) for tag in tags) != len(given):
        raise Problem(
            400,
            "If-Match is neither * nor a list of entity tags",
            type="validation",
            errors=[{"pointer": "If-Match", "detail": 'write it as the ETag was given, e.g. "v1"'}],
        )
    if any(tag[1] is None and f'"{tag[2]}"' == entity_tag(version) for tag in tags):
        return None
    return Problem(
        412,
        "the record has changed since you read it; read it again and decide anew",
        type="precondition-failed",
        headers={"ETag": entity_tag(version)},
    )
