"""What an answer tells besides its records: the headers that its spec declares, and where a record itself is found.

Headers that the engine does not set say what they can of the page, or something that fits.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from typing import Any, Final

import orjson

from sandbox import deeds
from sandbox.inference.schemas import fields_of, kind_of, plain
from sandbox.inference.words import words
from sandbox.operation import Response
from sandbox.seeded import SeededFaker
from sandbox.shaping import Shaper
from sandbox.values import Muse

# The engine sets them where they are due.
_SET: Final = frozenset(
    "etag,location,content-type,content-length,transfer-encoding,connection,date,www-authenticate,idempotent-replayed,"
    "ratelimit,ratelimit-policy".split(",")
)
# True only where somebody knows better.
_NOT_MADE: Final = frozenset(
    "link,retry-after,content-encoding,set-cookie,deprecation,sunset,last-modified,cache-control,vary,expires,"
    "access-control-allow-origin,content-range,accept-ranges,warning".split(",")
)


def headers_of(
    declared: Response | None, shaper: Shaper, seed: str, timestamp: str, facts: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Values for the headers that are declared.

    Args:
        seed: What is made up follows from it.
        facts: What there is to say of a page, as `Page.facts`.
    """
    found: dict[str, str] = {}
    for name, schema, required in declared.described if declared is not None else ():
        if name.lower() in _SET:
            continue
        fact = fact_of(name)
        value = (facts or {}).get(fact or "")
        if value is None and (fact is not None or name.lower() in _NOT_MADE) and not required:
            continue
        if value is None:
            muse = Muse(SeededFaker(functools.partial(random.Random, f"{seed}\n{name}")), timestamp)
            value = shaper.complete(schema, muse, name=name)
        text = _text(value)
        if text.isprintable() and text.isascii():
            found[name] = text
    return found


def self_link(schema: Any, document: Mapping[str, Any]) -> tuple[str, ...]:
    """Where a record says its own address: `_links.self.href`, `links.self`; empty where it does not."""
    fields = fields_of(plain(schema, document), document)
    for outer in ("_links", "links"):
        own = fields_of(plain(fields.get(outer, {}), document), document).get("self")
        if (
            own is not None
            and kind_of(own, document) == "object"
            and "href" in fields_of(plain(own, document), document)
        ):
            return (outer, "self", "href")
        if own is not None and kind_of(own, document) == "string":
            return (outer, "self")
    return ()


def fact_of(name: str) -> str | None:
    """What a header tells of a page: `X-Total-Count`, `X-WP-TotalPages`."""
    said = [word for word in words(name) if word not in ("x", "wp", "pagination")]
    fact = deeds.told_by("_".join(said))
    return None if fact in ("next", "next_url", "self_url", "more") else fact


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return orjson.dumps(value).decode() if value is not None else ""
