"""How two answers to the same request are compared, and which differences are allowed, each with its reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.differential.asking import Asked, Seen, query

NO_CONTENT, BAD, UNAUTHORIZED, NOT_FOUND, NOT_ALLOWED, UNSUPPORTED, FAILED = 204, 400, 401, 404, 405, 415, 500
_LINK = re.compile(r'<(?P<path>[^?>]*)\?(?P<query>[^>]*)>; rel="(?P<rel>\w+)"')


@dataclass
class Said:
    """An answer in its parts, as they are compared."""

    status: int
    headers: dict[str, Any]
    body: Any

    @classmethod
    def of(cls, seen: Seen) -> Said:
        parsed = seen.json
        return cls(seen.status, dict(seen.headers), seen.body if parsed is None else parsed)

    @property
    def refuses(self) -> bool:
        return self.status >= 400 and isinstance(self.body, dict)


Rule = Callable[["Comparison", Asked, Said, Said], None]


@dataclass(frozen=True)
class Allowed:
    """A difference that is allowed.

    Attributes:
        rule: Takes what may differ out of both answers, having checked what can be checked of it.
        system: Whose it is; all systems', if none is named.
    """

    what: str
    reason: str
    rule: Rule
    system: str = ""


@dataclass
class Comparison:
    """Compares answer by answer; it remembers which opaque values stand for one another.

    Attributes:
        used: By what it allows, how often a rule was needed.
        found: The differences that are not allowed.
    """

    used: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    same: dict[tuple[str, int, Any], Any] = field(default_factory=dict)

    def compare(self, asked: Asked, ours: Seen, plain: Seen) -> None:
        """Note each difference between what we and the plain system answered."""
        left, right = Said.of(ours), Said.of(plain)
        for allowed in ALLOWED:
            before = (left.status, dict(left.headers), left.body, right.status, dict(right.headers), right.body)
            allowed.rule(self, asked, left, right)
            if before != (left.status, left.headers, left.body, right.status, right.headers, right.body):
                self.used[allowed.what] += 1
        differences = list(_differences("", {"status": left.status}, {"status": right.status}))
        differences += _differences("/headers", left.headers, right.headers)
        differences += _differences("/body", left.body, right.body)
        if differences:
            self.found.append("\n  ".join([str(asked), *differences, f"ours: {ours}"[:600], f"plain: {plain}"[:600]]))

    def stand_for(self, kind: str, ours: Any, plain: Any) -> bool:
        """Whether two opaque values stand for one another, as they did before."""
        return (
            self.same.setdefault((kind, 0, ours), plain) == plain
            and self.same.setdefault((kind, 1, plain), ours) == ours
        )


def _differences(where: str, ours: Any, plain: Any) -> list[str]:
    if isinstance(ours, Mapping) and isinstance(plain, Mapping):
        names = sorted({*ours, *plain}, key=str)
        return [
            difference
            for name in names
            for difference in _differences(f"{where}/{name}", ours.get(name, "(absent)"), plain.get(name, "(absent)"))
        ]
    if isinstance(ours, list) and isinstance(plain, list) and len(ours) == len(plain):
        pairs = enumerate(zip(ours, plain, strict=True))
        return [text for index, (left, right) in pairs for text in _differences(f"{where}/{index}", left, right)]
    # As JSON has it: 1 is 1.0, but it is not true.
    if ours == plain and isinstance(ours, bool) == isinstance(plain, bool):
        return []
    return [f"{where}: ours {str(ours)[:200]!r}, plain {str(plain)[:200]!r}"]


def _of_the_server(_: Comparison, __: Asked, ours: Said, plain: Said) -> None:
    for said in (ours, plain):
        for name in ("date", "server"):
            said.headers.pop(name, None)


def _length(_: Comparison, __: Asked, ours: Said, plain: Said) -> None:
    if isinstance(ours.body, dict) and isinstance(plain.body, dict):
        for said in (ours, plain):
            assert int(said.headers.pop("content-length")) > 0


def _wording(_: Comparison, __: Asked, ours: Said, plain: Said) -> None:
    if ours.refuses and plain.refuses:
        for said in (ours, plain):
            said.body = {
                name: value
                for name, value in said.body.items()
                if name not in ("title", "detail", "errors", "instance")
            }


def _kind(_: Comparison, __: Asked, ours: Said, plain: Said) -> None:
    if ours.refuses and plain.refuses and plain.body.get("type") == "about:blank":
        for said in (ours, plain):
            said.body = {name: value for name, value in said.body.items() if name != "type"}


def _challenge(_: Comparison, __: Asked, ours: Said, plain: Said) -> None:
    if ours.status == plain.status == UNAUTHORIZED:
        plain.headers["www-authenticate"] = ours.headers.get("www-authenticate", "(required)")


def _acceptable(_: Comparison, __: Asked, ours: Said, plain: Said) -> None:
    if ours.status == plain.status == UNSUPPORTED and ours.headers.get("accept"):
        del ours.headers["accept"]


def _methods(_: Comparison, __: Asked, ours: Said, plain: Said) -> None:
    if ours.status == plain.status == NOT_ALLOWED:
        known, named = ({name.strip() for name in said.headers["allow"].split(",")} for said in (ours, plain))
        if named - {"HEAD"} <= known:
            plain.headers["allow"] = ours.headers["allow"]


def _tag(comparison: Comparison, asked: Asked, ours: Said, plain: Said) -> None:
    record = ours.body.get("order_number") if isinstance(ours.body, dict) else None
    tags = [said.headers.get("etag") for said in (ours, plain)]
    if all(tags) and comparison.stand_for(f"etag {record}", *tags):
        for said in (ours, plain):
            said.headers["etag"] = "(one that stands for the other)"


def _cursor(comparison: Comparison, _: Asked, ours: Said, plain: Said) -> None:
    for said in (ours, plain):
        found = _LINK.fullmatch(said.headers.get("link", ""))
        if found is not None:
            asked = dict(parse_qsl(found["query"]))
            comparison.same["cursor", 0, asked.pop("cursor", None)] = True
            said.headers["link"] = {"path": found["path"], "query": asked, "rel": found["rel"]}


def _foreign_cursor(comparison: Comparison, asked: Asked, ours: Said, plain: Said) -> None:
    cursor = query(asked, 0).get("cursor") if asked.url is None else None
    if cursor and ("cursor", 0, cursor) not in comparison.same and ours.status == plain.status == 200:
        for said in (ours, plain):
            said.body = None
            said.headers.pop("link", None)
            said.headers.pop("content-length", None)


def _no_content(_: Comparison, __: Asked, ours: Said, plain: Said) -> None:
    if ours.status == plain.status == NO_CONTENT and plain.body == b"":
        plain.headers.pop("content-type", None)


def _no_text(_: Comparison, asked: Asked, ours: Said, plain: Said) -> None:
    body = asked.prepared("http://system", 0).body
    try:
        if isinstance(body, bytes):
            body.decode()
    except UnicodeDecodeError:
        if (ours.status, plain.status) == (BAD, FAILED):
            _as_one(ours, plain)


def _newline(_: Comparison, asked: Asked, ours: Said, plain: Said) -> None:
    path = urlsplit(asked.prepared("http://system", 0).url or "").path
    if "%0A" in path and (ours.status, plain.status) == (BAD, NOT_FOUND):
        _as_one(ours, plain)


def _as_one(ours: Said, plain: Said) -> None:
    plain.status, plain.body = ours.status, ours.body


ALLOWED = (
    Allowed("500 for a body that is not UTF-8", "It is the caller's mistake: 400. Stock Connexion fails.", _no_text),
    Allowed(
        "404 for a line feed in a path",
        "The path exists, and the parameter does not fit: 400. Starlette's pattern ends at a line feed.",
        _newline,
    ),
    Allowed(
        "content-type of 204", "There is no content; stock Connexion names a type all the same.", _no_content, "shop"
    ),
    Allowed("date, server", "They speak of the machine, not of the system.", _of_the_server),
    Allowed("content-length of JSON", "The same JSON may be written with white space or without.", _length),
    Allowed(
        "title, detail, errors, instance of a refusal",
        "They are for human beings (RFC 9457, sections 3.1.3 and 3.1.4), or optional; stock Connexion shows Python.",
        _wording,
    ),
    Allowed("type of a refusal", "Stock Connexion calls all its own refusals about:blank.", _kind),
    Allowed(
        "WWW-Authenticate", "A 401 must have it (RFC 9110, section 15.5.2); stock Connexion leaves it out.", _challenge
    ),
    Allowed(
        "Accept", "A 415 may say what is taken (RFC 9110, section 15.5.16); stock Connexion does not.", _acceptable
    ),
    Allowed(
        "Allow",
        "It lists what the resource supports (RFC 9110, section 10.2.1); stock Connexion names one of its operations.",
        _methods,
    ),
    Allowed("ETag", "It is opaque (RFC 9110, section 8.8.3); the same versions must have the same ones.", _tag, "shop"),
    Allowed("cursor in Link", "It is opaque; where it leads is compared when it is followed.", _cursor),
    Allowed("page behind a cursor that nobody gave out", "It means nothing, by the specification.", _foreign_cursor),
)
