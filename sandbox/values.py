"""Believable scalars: by the words of a field's name, its format and its bounds; and whether a given one will do."""

from __future__ import annotations

import base64
import functools
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import rstr

from sandbox.inference.words import words
from sandbox.seeded import SeededFaker

_BY_FORMAT: Final = {
    "email": "email",
    "uuid": "uuid4",
    "uri": "url",
    "url": "url",
    "iri": "url",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "date": "date",
    "hostname": "hostname",
    "time": "time",
    "phone": "phone_number",
}
_BY_NAME: Final = {
    "email": "email",
    "phone": "phone_number",
    "mobile": "phone_number",
    "fax": "phone_number",
    "name": "name",
    "first name": "first_name",
    "given name": "first_name",
    "last name": "last_name",
    "family name": "last_name",
    "surname": "last_name",
    "company": "company",
    "company name": "company",
    "organization": "company",
    "organisation": "company",
    "street": "street_address",
    "street1": "street_address",
    "address1": "street_address",
    "address line1": "street_address",
    "line1": "street_address",
    "city": "city",
    "locality": "city",
    "town": "city",
    "postal code": "postcode",
    "postcode": "postcode",
    "zip": "postcode",
    "zip code": "postcode",
    "country": "country_code",
    "country code": "country_code",
    "region": "city",
    "currency": "currency_code",
    "currency code": "currency_code",
    "description": "sentence",
    "title": "catch_phrase",
    "subject": "catch_phrase",
    "note": "sentence",
    "notes": "sentence",
    "comment": "sentence",
    "message": "sentence",
    "url": "url",
    "website": "url",
    "domain": "domain_name",
    "color": "safe_color_name",
    "timezone": "timezone",
    "time zone": "timezone",
    "locale": "locale",
    "language": "language_code",
    "username": "user_name",
    "ip": "ipv4",
    "tracking number": "ean",
    "sku": "ean8",
}
_AMOUNTS: Final = frozenset("amount price total subtotal cost fee balance net gross value".split())
_COUNTS: Final = frozenset("quantity qty count".split())
_MOMENTS: Final = frozenset("created updated modified timestamp date time expires at".split())
_FIRST: Final = ("draft", "open", "new", "pending", "created", "active", "enabled", "unpaid", "queued", "requires")
_CHECKS: Final = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "uuid": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "email": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+"),
    "uri": re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]*"),
    "ipv4": re.compile(r"\d{1,3}(\.\d{1,3}){3}"),
    "byte": re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
    "digits": re.compile(r"[0-9]+"),
}


@dataclass(frozen=True, slots=True)
class Muse:
    """What made-up values come from.

    Args:
        faker: The seeded source of data.
        timestamp: The world's time (RFC 3339).
    """

    faker: SeededFaker
    timestamp: str

    @property
    def unix(self) -> int:
        """The world's time in Unix seconds."""
        return int(datetime.fromisoformat(self.timestamp).astimezone(UTC).timestamp())


def fits(rules: Mapping[str, Any], kind: str, value: Any) -> bool:
    """Whether a scalar keeps what its schema says of it, as far as one sees at a glance."""
    if kind == "string":
        if not isinstance(value, str) or not (
            rules.get("minLength", 0) <= len(value) <= rules.get("maxLength", len(value))
        ):
            return False
        check = _CHECKS.get(str(rules.get("format")))
        if check is not None and not check.fullmatch(value):
            return False
        return "pattern" not in rules or _matches(str(rules["pattern"]), value)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if kind == "integer" and value != int(value):
            return False
        low, high, _ = _bounds(rules, kind)
        step = rules.get("multipleOf")
        return low <= value <= high and (not step or abs(value / step - round(value / step)) < 1e-9)
    return not kind or kind == "null"


def converted(kind: str, value: Any) -> Any:
    """The same thing as another type, `"7"` as 7; None where there is no such thing."""
    try:
        if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value:g}" if isinstance(value, float) and abs(value) < 1e15 else str(value)
        if kind == "string" and isinstance(value, bool):
            return str(value).lower()
        if kind == "integer" and isinstance(value, str):
            number = int(value)
            # Beyond 64 bits a float, which is what the parser of bodies makes of such a number.
            return number if -(2**63) <= number < 2**64 else float(number)
        if kind == "number" and isinstance(value, str):
            found = float(value)
            return found if math.isfinite(found) else None
        if kind == "boolean" and value in ("true", "false"):
            return value == "true"
    except ValueError:
        return None
    return None


def first_of(options: list[Any], name: str) -> Any:
    """The option that a new record begins with: `draft` rather than `cancelled`."""
    if words(name)[-1:] in (("status",), ("state",)):
        for word in _FIRST:
            for option in options:
                if isinstance(option, str) and words(option)[:1] == (word,):
                    return option
    return next((option for option in options if option is not None), None)


def scalar(rules: Mapping[str, Any], kind: str, name: str, muse: Muse) -> Any:
    """A value of that type and name within its bounds."""
    if kind == "boolean":
        return False
    if kind == "null":
        return None
    if kind in ("integer", "number"):
        return _number(rules, kind, name, muse)
    return _text(rules, name, muse)


def _bounds(rules: Mapping[str, Any], kind: str) -> tuple[float, float, float]:
    """Lowest and highest value, and the least step between two."""
    step = rules.get("multipleOf") or (1 if kind == "integer" else 0.01)
    low, high = rules.get("minimum", -math.inf), rules.get("maximum", math.inf)
    for word, sign in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        limit = rules.get(word)
        if limit is True:
            low, high = (low + step, high) if sign > 0 else (low, high - step)
        elif isinstance(limit, int | float) and not isinstance(limit, bool):
            low, high = (max(low, limit + step), high) if sign > 0 else (low, min(high, limit - step))
    if rules.get("format") == "int32":
        low, high = max(low, -(2**31)), min(high, 2**31 - 1)
    return low, high, step


def _number(rules: Mapping[str, Any], kind: str, name: str, muse: Muse) -> int | float:
    low, high, step = _bounds(rules, kind)
    said = set(words(name))
    wanted: float = 0
    if said & _MOMENTS and kind == "integer":
        wanted = muse.unix
    elif said & _COUNTS:
        wanted = 1
    elif said & _AMOUNTS:
        wanted = muse.faker.random_int(10, 500) if kind == "integer" else muse.faker.random_int(1000, 50000) / 100
    elif said and words(name)[-1] == "id":
        wanted = muse.faker.random_int(1000, 999_999)
    value = min(max(wanted, low), high)
    if rules.get("multipleOf"):
        value = math.ceil(value / step) * step
    return round(value) if kind == "integer" or value == int(value) else round(value, 6)


def _text(rules: Mapping[str, Any], name: str, muse: Muse) -> str:
    form = str(rules.get("format", ""))
    shortest, longest = rules.get("minLength", 0), rules.get("maxLength", 255)
    if form == "date-time":
        return muse.timestamp
    if form == "date":
        return muse.timestamp[:10]
    if "pattern" in rules:
        said = _said(form, name, longest, muse) or ""
        if said and shortest <= len(said) <= longest and _matches(str(rules["pattern"]), said):
            return said
        return _by_pattern(str(rules["pattern"]), shortest, longest, muse)
    if form in ("byte", "binary"):
        return base64.b64encode(b"sandbox" * 3).decode()
    if form == "duration":
        return "P1D"
    if form == "decimal":
        return "10.00"
    if form == "digits":
        return str(muse.faker.random_int(1000, 999_999))
    found = _said(form, name, longest, muse) or name or "text"
    return found[:longest].ljust(shortest, "x")


def _said(form: str, name: str, longest: int, muse: Muse) -> str | None:
    """A text that the format or the name asks for; None where neither says anything."""
    provider = _BY_FORMAT.get(form) or _by_name(name)
    if provider:
        return str(getattr(muse.faker, provider)())
    last = words(name)[-1] if words(name) else ""
    if last in ("url", "uri", "link", "href"):
        return str(muse.faker.url())
    if last in ("date", "at") and longest >= len(muse.timestamp):
        return muse.timestamp
    if last in ("id", "token", "key", "secret", "hash"):
        return str(muse.faker.bothify("????????####", letters="abcdefghjkmnpqrstuvwxyz"))
    if last in _AMOUNTS:
        return f"{muse.faker.random_int(100, 50000) / 100:.2f}"
    return None


def _by_name(name: str) -> str | None:
    said = words(name)
    return next((found for n in range(len(said)) if (found := _BY_NAME.get(" ".join(said[n:])))), None)


@functools.lru_cache(maxsize=2048)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(value) is not None


def _by_pattern(pattern: str, shortest: int, longest: int, muse: Muse) -> str:
    source = rstr.Rstr(random.Random(muse.faker.random_int(0, 2**31)))
    found = ""
    for attempt in range(20):
        # An endless repetition is cut short, and ends in a text of some 100 letters otherwise; where that is too short,
        # it is repeated as often as there must be letters.
        least, most = (0, 8) if attempt < 10 else (shortest, min(max(shortest, 8), longest))
        bounds = {"*": f"{{{least},{most}}}", "+": f"{{{max(least, 1)},{max(most, 1)}}}"}
        bounded = re.sub(r"(?<!\\)\*(?!\?)", bounds["*"], re.sub(r"(?<!\\)\+(?!\?)", bounds["+"], pattern))
        try:
            found = source.xeger(bounded)
        except (re.error, KeyError, ValueError, OverflowError, TypeError):
            return "x" * max(1, shortest)
        if shortest <= len(found) <= longest and _matches(pattern, found):
            break
    return found


__all__ = ["Muse", "converted", "first_of", "fits", "scalar"]
