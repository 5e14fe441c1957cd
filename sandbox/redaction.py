"""Keeps secrets and personal values out of the journal, so that rules can still be checked on it.

A secret becomes a label naming the system whose credential it is; a personal value becomes a keyed hash, the same for
the same value within one world seed, so that "the same e-mail address went there" stays visible.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import orjson

from sandbox.model import Headers, dump

UNKNOWN: Final = "[secret:unknown]"
# What may be an e-mail address, well formed or not, as it stands or percent-encoded: a word with an @ in it.
_WORD: Final = re.compile(r"""[^\s"'`<>()\[\]{}|\\/?#&=,;:]+""")
_AT: Final = re.compile(r".(?:@|%(?:25)*40)")
_WITH_SCHEME: Final = frozenset({"authorization", "proxy-authorization"})
_SECRET_HEADERS: Final = _WITH_SCHEME | {"cookie", "set-cookie"}
_SECRET_FIELDS: Final = frozenset({"access_token", "refresh_token", "client_secret", "secret", "password", "api_key"})
_SHORTEST_SECRET: Final = 8
# What a JSON text must have somewhere if it has an e-mail address or a field that is a secret.
_MARKS: Final = (b"@", b"%", *(f'"{name}":'.encode() for name in sorted(_SECRET_FIELDS)))
# So many labels of personal values, texts and documents are remembered; the same ones come again and again.
_MOST_REMEMBERED: Final = 1000
_LONGEST_REMEMBERED: Final = 200
_LONGEST_DOCUMENT: Final = 16_384
_MOST_MEMORIES: Final = 8

Redact = Callable[[Any, Callable[[str], str]], Any]


class Shown(NamedTuple):
    """What may be seen of a document, and the same as JSON."""

    value: Any
    json: orjson.Fragment


@dataclass(slots=True)
class _Memory:
    """What was redacted before, and what came of it."""

    labels: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    documents: dict[tuple[object, bytes], Shown] = field(default_factory=dict)


class Memories:
    """What redactors with the same salt, secrets and headers remember together, as those of one world's many lives."""

    def __init__(self) -> None:
        self._kept: dict[object, _Memory] = {}

    def of(self, known: object) -> _Memory:
        """The memory of those that know the same."""
        memory = self._kept.get(known)
        if memory is None:
            if len(self._kept) >= _MOST_MEMORIES:
                self._kept.clear()
            memory = self._kept[known] = _Memory()
        return memory


class Redactor:
    """Replaces secrets and personal values.

    Args:
        salt: Key of the hashes of personal values.
        secrets: Known secrets, each with the name of the system it belongs to.
        headers: Lower-case names of further headers that carry credentials.
        memories: Shared with others.
    """

    def __init__(
        self,
        salt: bytes,
        secrets: Mapping[str, str],
        headers: frozenset[str] = frozenset(),
        memories: Memories | None = None,
    ) -> None:
        self._salt = salt
        self._secrets = dict(secrets)
        self._headers = _SECRET_HEADERS | headers
        self._marks = (*_MARKS, *map(_as_in_json, self._secrets))
        self._memories = memories or Memories()
        self._memory = self._remembered()

    def _remembered(self) -> _Memory:
        return self._memories.of((self._salt, tuple(self._secrets.items()), self._headers))

    def learn(self, secret: str, system: str) -> None:
        """Treat a value as a secret of a system from now on."""
        if len(secret) >= _SHORTEST_SECRET and self._secrets.get(secret) != system:
            self._secrets[secret] = system
            self._marks = (*self._marks, _as_in_json(secret))
            self._memory = self._remembered()

    def personal(self, value: str) -> str:
        """The label that stands for a personal value."""
        label = self._memory.labels.get(value)
        if label is None:
            digest = hmac.digest(self._salt, value.strip().lower().encode("utf-8", "surrogatepass"), hashlib.sha256)
            label = f"[personal:{digest[:4].hex()}]"
            _remember(self._memory.labels, value, label)
        return label

    def text(self, value: str) -> str:
        """Free text (a path, a query, a header) without secrets and e-mail addresses."""
        shown = self._memory.texts.get(value)
        if shown is None:
            shown = self._redacted(value)
            _remember(self._memory.texts, value, shown)
        return shown

    def _redacted(self, value: str) -> str:
        for secret, system in self._secrets.items():
            if secret in value:
                value = value.replace(secret, f"[secret:{system}]")
        if "@" in value or "%" in value:
            value = _WORD.sub(self._unless_address, value)
        return value

    def _unless_address(self, word: re.Match[str]) -> str:
        return self.personal(unquote(word[0])) if _AT.search(word[0]) else word[0]

    def headers(self, headers: Headers) -> dict[str, str]:
        """Headers as a mapping; repeated ones are joined by a comma (RFC 9110, section 5.3)."""
        clean: dict[str, str] = {}
        for name, value in headers:
            name = name.lower()
            shown = self.text(value)
            if name in self._headers and "[secret:" not in shown:
                scheme, _, rest = shown.partition(" ")
                shown = f"{scheme} {UNKNOWN}" if rest and name in _WITH_SCHEME else UNKNOWN
            clean[name] = f"{clean[name]}, {shown}" if name in clean else shown
        return clean

    def body(self, value: Any, personal: Redact | None = None) -> Any:
        """A JSON body; `personal` replaces the fields that its schema marks with `x-personal`."""
        return self.shown(value, personal).value

    def shown(self, value: Any, personal: Redact | None = None) -> Shown:
        """As `body`, and the same as JSON."""
        if personal is not None:
            value = personal(value, self.personal)
        try:
            whole = orjson.dumps(value)
        except orjson.JSONEncodeError:
            # A number or a character that only lenient parsers know.
            return as_shown(self._walk(value))
        for mark in self._marks:
            if mark in whole:
                return as_shown(self._walk(value))
        return Shown(value, orjson.Fragment(whole))

    def document(self, of: object, text: bytes, show: Callable[[], Shown]) -> Shown:
        """How a document is shown; the same text of the same kind is shown once and then known.

        Args:
            of: What kind of document it is, hashable.
            show: Shows it.
        """
        place = (of, text)
        shown = self._memory.documents.get(place)
        if shown is None:
            shown = show()
            if len(text) <= _LONGEST_DOCUMENT:
                if len(self._memory.documents) >= _MOST_REMEMBERED:
                    self._memory.documents.clear()
                self._memory.documents[place] = shown
        return shown

    def _walk(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                self.text(key): self._secret(item)
                if key in _SECRET_FIELDS and isinstance(item, str)
                else self._walk(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._walk(item) for item in value]
        return value

    def _secret(self, value: str) -> str:
        shown = self.text(value)
        return shown if shown.startswith("[secret:") else UNKNOWN


def as_shown(value: Any) -> Shown:
    """A value that hides nothing, and the same as JSON."""
    return Shown(value, orjson.Fragment(dump(value)))


def _as_in_json(secret: str) -> bytes:
    return orjson.dumps(secret)[1:-1]


def _remember(known: dict[str, str], value: str, shown: str) -> None:
    if len(value) > _LONGEST_REMEMBERED:
        return
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    known[value] = shown
