"""What is secret in the traffic of one real API, learned as it passes, and hidden from then on wherever it stands."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from sandbox.model import Headers, Json
from sandbox.record.described import Described
from sandbox.record.sensitive import hide, hide_parameters, is_credential, is_one_time, is_personal
from sandbox.redaction import Redactor
from sandbox.spec import Operation, Spec

Label = Callable[[str], str]

_WITH_SCHEME: Final = frozenset({"authorization", "proxy-authorization"})
_COOKIES: Final = frozenset({"cookie", "set-cookie"})
_TOO_SHORT: Final = 4
_PLAIN_WORD: Final = re.compile(r"[A-Za-z]{1,15}(?:[_-][A-Za-z]{1,8})?")


class Vault:
    """The secrets of one system.

    A value belongs to the system in whose traffic it was seen first, so that one which turns up elsewhere is told by
    its label.

    Args:
        spec: Whose security schemes say where credentials stand; None when there is none.
        redactor: Shared by all systems.

    Attributes:
        trusted: Whether the spec says what is personal (`x-personal`); else names of fields have to.
    """

    def __init__(self, system: str, spec: Spec | None, redactor: Redactor) -> None:
        self._system = system
        self._redactor = redactor
        schemes = [] if spec is None else [s for s in spec.security_schemes.values() if s.get("type") == "apiKey"]
        self._named: Mapping[str, frozenset[str]] = {
            place: frozenset(str(scheme.get("name", "")).lower() for scheme in schemes if scheme.get("in") == place)
            for place in ("header", "query", "cookie")
        }
        self.trusted = spec is not None and _marks_personal(spec.document)

    @property
    def _label(self) -> str:
        return f"[secret:{self._system}]"

    def secret(self, value: str) -> str:
        """Learn a secret; returns its label."""
        shown = self._redactor.text(value)
        if shown.startswith("[secret:"):
            return shown if shown.count("[") == 1 and shown.endswith("]") else self._label
        for written in dict.fromkeys((value, quote(value, safe=""), quote(value), quote_plus(value))):
            self._redactor.learn(written, self._system)
        return self._label

    def learn_from_headers(self, headers: Headers) -> None:
        """Learn the credentials among the headers of a request or of an answer."""
        for name, value in headers:
            self._header(name.lower(), value)

    def learn_from_query(self, query: str) -> None:
        for part in query.split("&"):
            name, _, value = part.partition("=")
            if value and self._is_secret_parameter(unquote_plus(name)):
                self.secret(unquote_plus(value))

    def headers(self, headers: Headers) -> dict[str, str]:
        """Headers as the journal shows them."""
        return self._redactor.headers(tuple((name, self._header(name.lower(), value)) for name, value in headers))

    def path(self, path: str) -> str:
        return self._redactor.text(path)

    def query(self, query: str, spec: Spec | None, operation: Operation | None, personal: Label) -> str:
        """A query as the journal shows it; each parameter's name stays."""
        marked = {} if operation is None else {p.name: p for p in operation.parameters if p.location == "query"}
        shown = []
        for part in query.split("&"):
            name, equals, value = part.partition("=")
            plain = unquote_plus(name)
            declared = marked.get(plain) if self.trusted and spec is not None else None
            marks = is_personal(plain) if declared is None else "x-personal" in declared.schema
            if value and self._is_secret_parameter(plain):
                part = f"{name}{equals}{self.secret(unquote_plus(value))}"
            elif value and marks:
                part = f"{name}{equals}{personal(unquote_plus(value))}"
            shown.append(part)
        return self._redactor.text("&".join(shown))

    def body(self, value: Json, described: Described | None, personal: Label) -> Json:
        """A body as the journal shows it.

        Args:
            described: Its schemas, whose marks have been heeded already; None when only names can tell.
        """
        return self._redactor.body(hide(value, described, self.secret, personal))

    def _is_secret_parameter(self, name: str) -> bool:
        return name.lower() in self._named["query"] or is_credential(name)

    def _header(self, name: str, value: str) -> str:
        """A header's value with labels in place of its secrets, which are learned."""
        if name in _COOKIES:
            return self._cookies(name, value)
        if name in _WITH_SCHEME:
            scheme, _, credential = value.partition(" ")
            if not credential:
                return self.secret(value)
            if scheme.lower() == "basic":
                self._learn_basic(credential.strip())
            return f"{scheme} {self.secret(credential.strip())}"
        if name in self._named["header"] or is_credential(name):
            return self._label if is_one_time(name) and name not in self._named["header"] else self.secret(value)
        return hide_parameters(value, self.secret)

    def _cookies(self, name: str, value: str) -> str:
        """All cookies of a `Cookie`, or the one of a `Set-Cookie` with its attributes (RFC 6265)."""
        parts = value.split(";")
        secret = len(parts) if name == "cookie" else 1
        shown = [self._cookie(part) if number < secret else part for number, part in enumerate(parts)]
        return ";".join(shown)

    def _cookie(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        if not equals:
            return self._label
        plain = value.strip().strip('"')
        if not plain:
            return pair
        # `consent=accepted` is no credential, and to look for its word everywhere would hide what is none, either.
        return f"{name}={self._label if _PLAIN_WORD.fullmatch(plain) else self.secret(plain)}"

    def _learn_basic(self, credential: str) -> None:
        """Name and password, as HTTP Basic sends them (RFC 7617), are secret apart from each other, too."""
        try:
            _, _, password = base64.b64decode(credential, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return
        for written in dict.fromkeys((password, unquote(password))):
            if len(written) > _TOO_SHORT:
                self.secret(written)


def _marks_personal(document: Mapping[str, Any]) -> bool:
    """Whether any schema of a document is marked with `x-personal`."""
    stack: list[Any] = [document]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if not isinstance(node, dict | list) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            if "x-personal" in node:
                return True
            stack.extend(node.values())
        else:
            stack.extend(node)
    return False
