"""Believable values in place of the labels that a redacted journal has for personal values and secrets.

The same label becomes the same value wherever it stands, so that references stay equal; the value fits the schemas of
all places where the label stands, as far as one value can.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sandbox.model import Json
from sandbox.record.described import Described
from sandbox.record.sensitive import words
from sandbox.sample import SeededFaker
from sandbox.schema import SchemaValidator

LABEL: Final = re.compile(r"\[(?:personal|secret):[^\]\s]*\]")
_TRIES: Final = 40
_EARLIEST, _LATEST = 1950, 2003

# The first that a field's name ends with, else its format, says what is believable.
_BY_NAME: Final = (
    ("first_name", "first_name"),
    ("last_name", "last_name"),
    ("company", "company"),
    ("name", "name"),
    ("email", "email"),
    ("e_mail", "email"),
    ("phone", "phone"),
    ("mobile", "phone"),
    ("street", "street"),
    ("address", "street"),
    ("additional_line", "line"),
    ("postal_code", "postcode"),
    ("postcode", "postcode"),
    ("zip", "postcode"),
    ("city", "city"),
    ("town", "city"),
    ("country", "country"),
    ("birth", "date"),
    ("birthday", "date"),
    ("vat_id", "vat"),
    ("iban", "iban"),
    ("url", "url"),
)
_BY_FORMAT: Final = {"email": "email", "date": "date", "date-time": "moment", "uuid": "uuid", "uri": "url"}
# What else to try where a pattern allows none of the believable.
_ANYTHING: Final = ("name", "word", "email", "phone", "number", "code", "vat", "date", "moment", "uuid", "url", "token")


class Disguise:
    """Chooses what stands in for each label.

    Args:
        seed: All values follow from it and from the labels.

    Attributes:
        homeless: The names of fields for which no value could be found that fits their schema.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._places: dict[str, list[_Place]] = {}
        self._chosen: dict[str, str] = {}
        self._taken: set[str] = set()
        self.homeless: set[str] = set()

    def look(self, value: Json, described: Described, document: Mapping[str, Any]) -> None:
        """Take note of where labels stand, before anything is chosen."""
        for label, place in _labels(value, described, document, ""):
            self._places.setdefault(label, []).append(place)

    def dress(self, value: Json, described: Described, document: Mapping[str, Any]) -> Json:
        """A copy of a JSON value with believable values in place of its labels."""
        return self._dress(value, described, document, "")

    def _dress(self, value: Json, described: Described | None, document: Mapping[str, Any], name: str) -> Json:
        if isinstance(value, dict):
            return {
                key: self._dress(item, described and described.member(key), document, key)
                for key, item in value.items()
            }
        if isinstance(value, list):
            items = described and described.items
            return [self._dress(item, items, document, name) for item in value]
        if not isinstance(value, str) or "[" not in value:
            return value
        if LABEL.fullmatch(value) is None:
            return LABEL.sub(lambda found: self._stand_in(found[0]), value)
        return self._fitting(value, _Place(name, described, document))

    def _stand_in(self, label: str) -> str:
        """The one value of a label: the first believable one that fits all its places, or else most of them."""
        chosen = self._chosen.get(label)
        if chosen is None:
            places = self._places.get(label, [])
            candidates = [text for text in self._candidates(label, places) if text not in self._taken]
            chosen = max(candidates, key=lambda text: sum(place.takes(text) for place in places), default=label)
            self._chosen[label] = chosen
            self._taken.add(chosen)
        return chosen

    def _fitting(self, label: str, place: _Place) -> Json:
        text = self._stand_in(label)
        if place.takes(text):
            return text
        # Equal values that no single one can stand for: another one here, still the same for the same label.
        for other in (*self._candidates(label, [place]), *place.others()):
            if place.takes(other):
                return other
        self.homeless.add(place.name)
        return text

    def _candidates(self, label: str, places: list[_Place]) -> Iterator[str]:
        kinds = dict.fromkeys([*(place.kind for place in places), *_ANYTHING])
        for kind in kinds:
            for number in range(_TRIES if any(place.kind == kind for place in places) else 2):
                digest = hashlib.sha256(f"{self._seed}\n{label}\n{kind}\n{number}".encode()).digest()
                for text in _make(kind, random.Random(digest)):
                    yield from dict.fromkeys(place.cut(text) for place in places) if places else (text,)


class _Place:
    """A field that holds a label."""

    def __init__(self, name: str, described: Described | None, document: Mapping[str, Any]) -> None:
        self.name = name
        self._schemas = described.schemas if described is not None else ()
        form = next((schema["format"] for schema in self._schemas if "format" in schema), "")
        snake = words(name)
        named = next((kind for ending, kind in _BY_NAME if snake.endswith(ending)), "word")
        self.kind = _BY_FORMAT.get(form, named)
        whole: Mapping[str, Any] = {"anyOf": list(self._schemas)} if self._schemas else {}
        self._validator = SchemaValidator(whole, document=document, direction="response")

    def takes(self, value: Json) -> bool:
        return self._validator.is_valid(value)

    def cut(self, text: str) -> str:
        longest = min((schema.get("maxLength", 255) for schema in self._schemas), default=255)
        return text[:longest].rstrip()

    def others(self) -> Iterator[Json]:
        """What is no text, for the fields that hold none."""
        for schema in self._schemas:
            yield from schema.get("enum", ())
            low = schema.get("minimum", 0)
            yield from (low, low + 1, False)


def _labels(
    value: Json, described: Described | None, document: Mapping[str, Any], name: str
) -> Iterator[tuple[str, _Place]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _labels(item, described and described.member(key), document, key)
    elif isinstance(value, list):
        for item in value:
            yield from _labels(item, described and described.items, document, name)
    elif isinstance(value, str) and LABEL.fullmatch(value):
        yield value, _Place(name, described, document)


def _make(kind: str, chance: random.Random) -> tuple[str, ...]:
    """Made-up values of a kind; several where it is written in several ways."""
    faker, digits = SeededFaker(lambda: chance), "".join(chance.choices("0123456789", k=12))
    if kind in _PROVIDERS:
        return (str(getattr(faker, _PROVIDERS[kind])()).replace("\n", " "),)
    template = _TEMPLATES.get(kind, ("{word} {four}", "{word}{four}"))
    parts = {
        "word": faker.word(),
        "user": faker.user_name(),
        "digits": digits,
        "three": digits[:3],
        "four": digits[:4],
        "five": digits[:5],
        "eight": digits[:8],
        "nine": digits[:9],
        "area": "".join(chance.choices("ABDEFGHJLNPQRSTUWXYZ", k=2)),
        "letters": "".join(chance.choices("abdefghjlnpqrstuwxyz", k=3)),
        "date": f"{chance.randint(_EARLIEST, _LATEST)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
    }
    return tuple(text.format(**parts) for text in template)


_PROVIDERS: Final = {
    **{kind: kind for kind in ("first_name", "last_name", "company", "name", "city", "iban")},
    "street": "street_address",
    "country": "country_code",
    "uuid": "uuid4",
}
_TEMPLATES: Final = {
    # The domain is kept for examples (RFC 2606): no mail reaches anybody. The numbers are kept for fiction (Ofcom).
    "email": ("{user}.{four}@example.com",),
    "phone": ("+44 20 7946 0{three}", "+442079460{three}", "02079460{three}"),
    "line": ("Floor {three}",),
    "postcode": ("{five}", "{area}{three} 1{area}", "{area}1 1{area}"),
    "date": ("{date}",),
    "moment": ("{date}T00:00:00Z",),
    "vat": ("GB{nine}", "DE{nine}"),
    "url": ("https://example.com/{digits}",),
    "number": ("{eight}", "{digits}"),
    "code": ("{area}-{five}",),
    "token": ("{letters}_{digits}",),
}
