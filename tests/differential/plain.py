"""What a plain system on stock Connexion is made of: the framework as it comes, functions, and dictionaries.

Nothing here knows the sandbox. What a second system cannot know, because the first one made it up or read it off a
clock, it is told (`Told`), and holds against the rules of its specification before it believes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import connexion
import uvicorn
import yaml
from connexion.resolver import Resolver
from connexion.security import ApiKeySecurityHandler, BearerSecurityHandler

Json = Any
Answer = tuple[Json, int, dict[str, str]]


@dataclass
class Told:
    """What a plain system is told before a request.

    Attributes:
        now: The time, in unix seconds.
        answer: What the other system answered to the same request.
    """

    now: float = 0.0
    answer: Any = None

    @property
    def timestamp(self) -> str:
        moment = datetime.fromtimestamp(int(self.now * 1000) / 1000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Kept:
    """A record in a dictionary, with its place in the list and its version."""

    seq: int
    body: dict[str, Json]
    version: int = 1
    changed: float = 0.0

    @property
    def tag(self) -> dict[str, str]:
        return {"ETag": f'"{self.version}"'}


class Shelf:
    """The records of one kind."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._kept: dict[str, Kept] = {}
        self._placed = 0

    def add(self, key: str, body: dict[str, Json]) -> Kept:
        self._placed += 1
        self._kept[key] = Kept(self._placed, body, changed=self._told.now)
        return self._kept[key]

    def save(self, kept: Kept, **changed: Json) -> Kept:
        """Change a record; one that is the same already stays as it was."""
        if any(kept.body.get(name) != value for name, value in changed.items()):
            kept.body = {**kept.body, **changed, "updated_at": self._told.timestamp}
            kept.version += 1
            kept.changed = self._told.now
        return kept

    def get(self, key: str) -> Kept:
        if key not in self._kept:
            raise Refused(404, "about:blank")
        return self._kept[key]

    def find(self, key: str) -> Kept | None:
        return self._kept.get(key)

    def remove(self, key: str) -> None:
        self.get(key)
        del self._kept[key]

    def all(self) -> list[Kept]:
        return list(self._kept.values())

    def page(self, limit: int, cursor: str | None, wanted: Callable[[Kept], bool] = lambda _: True) -> tuple[Any, ...]:
        """What lies behind a cursor, and the headers of the page."""
        after = int(cursor, 16) if cursor else 0
        found = [one for one in self._kept.values() if one.seq > after and wanted(one)]
        page, more = found[:limit], len(found) > limit
        asked = connexion.request
        if not more:
            return [one.body for one in page], {}
        following = {
            **{name: asked.query_params[name] for name in asked.query_params},
            "cursor": f"{page[-1].seq:015x}",
        }
        return [one.body for one in page], {"Link": f'<{asked.scope["path"]}?{urlencode(following)}>; rel="next"'}


class Refused(Exception):
    """A refusal by a rule of the system, as opposed to one of the framework."""

    def __init__(self, status: int, kind: str, **headers: str) -> None:
        super().__init__(kind)
        self.status = status
        self.kind = kind
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self) -> Any:
        kind = self.kind if ":" in self.kind else f"/problems/{self.kind}"
        title = HTTPStatus(self.status).phrase
        return connexion.problem(self.status, title, "refused", type=kind, headers=self.headers)


@dataclass
class Memory:
    """What was answered to each idempotency key (IETF draft-ietf-httpapi-idempotency-key-header)."""

    told: Told
    kept: dict[tuple[str, str], tuple[float, Any, Answer]] = field(default_factory=dict)

    def once(self, operation: str, payload: Any, perform: Callable[[], Answer], *, required: bool = False) -> Any:
        """Perform a request, or answer as the first time."""
        raw = connexion.request.headers.get("Idempotency-Key")
        if raw is None:
            if required:
                raise Refused(400, "idempotency-key-missing")
            return perform()
        key = (operation, raw.strip()[1:-1] if raw.strip()[:1] == '"' == raw.strip()[-1:] else raw.strip())
        known = self.kept.get(key)
        if known is not None and known[0] > self.told.now:
            if known[1] != payload:
                raise Refused(422, "idempotency-key-reused")
            body, status, headers = known[2]
            return _sent(body, status, {**headers, "Idempotent-Replayed": "true"})
        payload = copy.deepcopy(payload)
        try:
            answer = perform()
        except Refused as refused:
            answer = (refused.kind, refused.status, {})
        # What is no business of the operation is not kept.
        if answer[1] not in (401, 403, 404, 413, 415, 429) and answer[0] != "validation":
            self.kept[key] = (self.told.now + 24 * 3600, payload, copy.deepcopy(answer))
        return _sent(*answer)


def _sent(body: Any, status: int, headers: dict[str, str]) -> Any:
    if status >= 400:
        refused = Refused(status, body)
        refused.headers = headers
        raise refused
    return body, status, headers


def cents(amount: float) -> int:
    """An amount in cents, exactly.

    Raises:
        Refused: 400 when it is no whole number of cents.
    """
    exact = Decimal(str(amount)) * 100
    if exact != int(exact):
        raise Refused(400, "validation")
    return int(exact)


def bare_spec(path: Path) -> dict[str, Any]:
    """A specification as stock Connexion takes it.

    Its validator (jsonschema) divides binary fractions, and so refuses 1.13 as no multiple of 0.01: cents are counted
    by hand. It refuses a missing `If-Match` with 400 before any function could answer 428 (RFC 6585): by hand, too.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    _loosen(document)
    return dict(document)


def _loosen(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("multipleOf") == 0.01:
            del part["multipleOf"]
        if part.get("in") == "header" and part.get("name") in ("If-Match", "Idempotency-Key"):
            part["required"] = False
        for inner in part.values():
            _loosen(inner)
    elif isinstance(part, list):
        for inner in part:
            _loosen(inner)


def application(spec: dict[str, Any], system: Any, known: set[str]) -> connexion.AsyncApp:
    """A stock application whose operations are the methods of a system.

    Args:
        known: The keys or tokens of those who may call.
    """

    def who(shown: str) -> dict[str, str] | None:
        return {"sub": shown} if shown in known else None

    class Key(ApiKeySecurityHandler):
        def _resolve_func(self, _scheme: Any) -> Any:
            return who

    class Token(BearerSecurityHandler):
        def _resolve_func(self, _scheme: Any) -> Any:
            return who

    app = connexion.AsyncApp(__name__, security_map={"apiKey": Key, "bearer": Token})
    app.add_api(spec, resolver=Resolver(lambda name: _json(getattr(system, name))), validate_responses=True)
    app.add_error_handler(Refused, lambda _request, refused: refused.answer())
    return app


def _json(perform: Callable[..., Any]) -> Callable[..., Any]:
    """An operation whose answers say that they are JSON; of two media types, Connexion does not choose."""

    @functools.wraps(perform)
    def operation(**arguments: Any) -> Any:
        answer = perform(**arguments)
        if isinstance(answer, dict):
            answer = answer, 200, {}
        if not isinstance(answer, tuple) or answer[0] is None:
            return answer
        body, status, headers = answer
        return body, status, {"Content-Type": "application/json", **headers}

    return operation


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """An ASGI application on a free port of this machine; yields its URL."""
    # asyncio sends at once only where the socket says that it is TCP's.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        server = _Server(uvicorn.Config(app, log_level="critical", access_log=False))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        try:
            assert server.ready.wait(30)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
