"""Valid bodies of a system's operations: as its examples show them, else made up from their schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final

from sandbox.forms import FORM, MULTIPART
from sandbox.model import JSON, Json
from sandbox.pointer import lookup, resolve
from sandbox.probe.impossible import Impossible
from sandbox.seeded import SeededFaker
from sandbox.shaping import ABSENT, Shaper
from sandbox.spec import MediaType, Operation, Spec
from sandbox.values import Muse

_NOW: Final = "2025-01-01T00:00:00Z"
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_TRIES: Final = 6
# Of a file anything will do, and of a text any words.
_FILE: Final = b"\x89contract\n"
_WORDS: Final = ("text/plain", "text/csv", "text/html", "*/*")


class Bodies:
    """Bodies for the operations of one system.

    Args:
        seed: Sets what is made up apart from what other runs made up.
        serial: Numbers what must be there once only.
    """

    def __init__(self, spec: Spec, seed: str, serial: Iterator[int]) -> None:
        self._spec = spec
        self._seed = seed
        self._serial = serial
        self._shaper = Shaper(spec.document, "readOnly")
        self._shown: dict[str, list[tuple[MediaType, Json]]] = {}

    def shown(self, operation: Operation) -> list[tuple[MediaType, Json]]:
        """Each example body with its media type, JSON first; what does not keep its own schema is made to fit."""
        found = self._shown.get(operation.id)
        if found is None:
            fitting = ((media, self._fitting(media, value)) for media, value in examples(self._spec, operation))
            found = [(media, value) for media, value in fitting if value is not None]
            found.sort(key=lambda pair: not pair[0].is_json)
            self._shown[operation.id] = found
        return found

    def made(self, operation: Operation) -> tuple[MediaType, Json | bytes]:
        """A body that no example shows.

        Raises:
            Impossible: when none is found that its schema allows, or it is in a language of its own.
        """
        if operation.body is None or not operation.body.content:
            raise Impossible(f"{operation.id} does not say what it takes")
        content = operation.body.content
        media = operation.body.media(JSON) or content.get(FORM) or content.get(MULTIPART)
        media = media or next((one for one in content.values() if one.is_json), None)
        if media is None:
            return _opaque(operation)
        if media.schema is None:
            return media, {}
        body = self._fitting(media, ABSENT, operation.id)
        if body is None:
            raise Impossible(f"nothing was found that the schema of {operation.id} allows")
        return media, body

    def value(self, schema: Mapping[str, Any], name: str) -> Json:
        """A value for a schema."""
        found: Json = self._shaper.complete(schema, self._muse(name), name=name)
        return found

    def fresh(self, operation: Operation, body: Json, media: MediaType | None) -> Json:
        """The body with a business key that was not sent before, where the specification leaves it open."""
        meaning = operation.meaning
        if meaning.action not in ("create", "replace", "patch", "upsert") or not isinstance(body, dict):
            return body
        names = {one.name.strip("/") for one in operation.expressions if one.source == "body"} | {meaning.key_field}
        kind = self._spec.collections.get(meaning.collection or "")
        # What points at another record is no key of this one.
        names -= set() if kind is None else kind.references.keys()
        for name in sorted(name for name in names if name is not None and isinstance(body.get(name), str)):
            old, number = str(body[name]), f"{self._seed}{next(self._serial)}"
            user, _, host = old.partition("@")
            changed = {**body, name: f"{user}+{number}@{host}" if _EMAIL.fullmatch(old) else f"{old}-{number}"}
            if media is None or media.validator is None or not media.validator.errors(changed):
                body = changed
                break
        return self._renamed(operation, body, media) if meaning.action == "create" else body

    def _renamed(self, operation: Operation, body: Json, media: MediaType | None) -> Json:
        """The body with an id that was not sent before, where the caller chooses it."""
        meaning = operation.meaning
        name, kind = meaning.id_field, self._spec.collections.get(meaning.collection or "")
        record = meaning.body_at.get(body)
        record = record[0] if isinstance(record, list) and len(record) == 1 else record
        if kind is None or not name or not isinstance(record, dict) or record.get(name) in (None, ""):
            return body
        if name == meaning.key_field or kind.fields.get(name, {}).get("readOnly"):
            return body
        old = record[name]
        for other in self._others(old, kind.fields.get(name, {}), name):
            changed = {**record, name: other}
            whole = _put(body, meaning.body_at.path, [changed] if meaning.body_at.many else changed)
            if media is None or media.validator is None or not media.validator.errors(whole):
                return whole
        return body

    def _others(self, old: Any, schema: Mapping[str, Any], name: str) -> Iterator[Json]:
        number = next(self._serial)
        if isinstance(old, str) and schema.get("format") not in ("uuid", "date", "date-time"):
            yield f"{old}-{self._seed}{number}"
            yield f"{old}{number}"
        elif isinstance(old, int) and not isinstance(old, bool):
            yield old + number
        yield self.value({**schema, "example": None} if "example" in schema else schema, name)

    def shortest(self, body: Json, media: MediaType) -> Json:
        """The body without the fields that it can do without."""
        if not isinstance(body, dict) or media.validator is None:
            return body
        for name in list(body):
            shorter = {key: value for key, value in body.items() if key != name}
            if shorter and not media.validator.errors(shorter):
                body = shorter
        return body

    def _fitting(self, media: MediaType, given: Any, name: str = "") -> Json:
        """What is given, changed as little as its schema asks for; None when nothing is found."""
        if media.validator is None or media.schema is None:
            return None if given is ABSENT else given
        if given is not ABSENT and not media.validator.errors(given):
            return given
        for made in (False, True):
            muse = self._muse(name)
            body = self._shaper.complete(media.schema, muse, given, made=made)
            for attempt in range(_TRIES):
                errors = media.validator.errors(body)
                if not errors:
                    return body
                for error in errors:
                    body = self._shaper.mend(media.schema, muse, body, error.pointer, attempt)
        return None

    def _muse(self, name: str) -> Muse:
        source = Random(f"{self._seed} {name} {next(self._serial)}")
        return Muse(SeededFaker(lambda: source), _NOW)


def examples(spec: Spec, operation: Operation) -> Iterator[tuple[MediaType, Json]]:
    """The example bodies of an operation as they are written, each with its media type."""
    if operation.body is None:
        return
    body = resolve(spec.document, lookup(spec.document, operation.pointer)["requestBody"])
    for name, written in body.get("content", {}).items():
        media = operation.body.media(name)
        values = [resolve(spec.document, one).get("value") for one in written.get("examples", {}).values()]
        values += [written["example"]] if "example" in written else []
        for value in values:
            # Tools write `example: null` where there is none, and a text where they meant what it says.
            if media is not None and value is not None and not (media.is_json and isinstance(value, str)):
                yield media, value


def _opaque(operation: Operation) -> tuple[MediaType, Json | bytes]:
    """A body that is no object: a file, or words."""
    content = operation.body.content if operation.body is not None else {}
    for media in content.values():
        if media.name in _WORDS:
            return media, b"contract"
        if media.name == "application/octet-stream" or media.name.partition("/")[0] in ("image", "audio", "video"):
            return media, _FILE
    raise Impossible(f"{operation.id} takes {', '.join(content)} and shows no example")


def _put(body: Any, path: Sequence[str], value: Json) -> Json:
    """The body with another value at a place."""
    if not path:
        return value
    inner = body if isinstance(body, dict) else {}
    return {**inner, path[0]: _put(inner.get(path[0]), path[1:], value)}
