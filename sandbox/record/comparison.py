"""Puts to our mock what was asked of a real API, in memory, and says where the answers differ."""

from __future__ import annotations

import base64
import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote, urlencode

from sandbox.caller import CallerTimedOut, ConnectionLost
from sandbox.credentials import PRINCIPALS, Credential
from sandbox.engine import TOKEN_LIFETIME
from sandbox.inprocess import BASE_URL, InProcess
from sandbox.model import Answer
from sandbox.project import Project
from sandbox.record.departure import Departure, from_mock, tells
from sandbox.record.recorder import Call
from sandbox.record.records import Records, put
from sandbox.spec import Operation
from sandbox.system import System
from sandbox.world import World

log = logging.getLogger("sandbox")

# So many of the records known of a collection does the mock get; the rest would only cost time.
_MOST: Final = 200
# What is said anew to the mock, or cannot be said to it.
_LEFT_OUT: Final = frozenset({"host", "authorization", "cookie", "content-length", "connection", "transfer-encoding"})


class MockComparison:
    """Compares each answer with our mock's, in a world of its own that begins with the records known so far.

    Args:
        project: Whose mocks are asked.
    """

    def __init__(self, project: Project) -> None:
        self._known: Records | None = None
        self._sandbox = InProcess(project, beginning=self)
        self._numbers = itertools.count(1)

    def __call__(self, call: Call, known: Records, answer: Answer) -> list[Departure]:
        operation = call.operation
        if operation is None or not self._comparable(call, operation, known, answer):
            return []
        self._known, number = known, next(self._numbers)
        name = f"compare-{number}"
        with _quiet():
            # The seed makes each world another, so that none begins with what was remembered of the one before.
            world = self._sandbox.worlds.create(name, number)
            try:
                ours = self._ask(call, operation, world)
            except (CallerTimedOut, ConnectionLost):
                return []
            finally:
                self._sandbox.worlds.delete(name)
                self._sandbox.run(0.0)
        return from_mock(answer, ours)

    def put(self, system: System) -> None:
        """Let a world begin with what is known of a system (`sandbox.engine.Beginning`)."""
        if self._known is None or self._known.spec.name != system.name:
            return
        kept = ((kind.name, list(records.values())[-_MOST:]) for kind, records in self._known.kept())
        put(system, self._known.removed(), kept)

    @staticmethod
    def _comparable(call: Call, operation: Operation, known: Records, answer: Answer) -> bool:
        meaning = operation.meaning
        if meaning.action == "token" or not tells(answer.status):
            return False
        if any(name.lower() == "content-encoding" for name, _ in call.headers):
            return False
        if meaning.addressed is None:
            return True
        collection, parameter = meaning.addressed
        return known.get(collection, call.path_parameters.get(parameter, "")) is not None

    def _ask(self, call: Call, operation: Operation, world: World) -> Answer:
        headers = {name: value for name, value in call.headers if name not in _LEFT_OUT}
        query = call.query
        for credential in self._credentials(operation):
            scheme = self._sandbox.project.specs[credential.system].security_schemes[credential.scheme]
            place, name = scheme.get("in"), str(scheme.get("name", ""))
            if credential.kind != "api_key":
                headers["authorization"] = _authorization(credential, world)
            elif place == "query":
                query = f"{query}&{urlencode({name: credential.values['api_key']})}".removeprefix("&")
            elif place == "cookie":
                headers["cookie"] = f"{name}={credential.values['api_key']}"
            else:
                headers[name.lower()] = credential.values["api_key"]
        url = f"{BASE_URL}/w/{world.name}/{call.upstream.name}{quote(call.path)}"
        body = bytes(call.request.kept or b"")
        return self._sandbox.call(call.method, f"{url}?{query}" if query else url, headers, body)

    def _credentials(self, operation: Operation) -> Iterator[Credential]:
        """Those that meet the first alternative of what an operation asks for."""
        wanted = next(iter(operation.security), {})
        for credential in self._sandbox.access().credentials:
            mine = (credential.system, credential.principal) == (operation.system, PRINCIPALS[0])
            if mine and credential.scheme in wanted:
                yield credential


def _authorization(credential: Credential, world: World) -> str:
    if credential.kind == "basic":
        pair = ":".join(credential.values.values())
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    if credential.kind == "bearer":
        return f"Bearer {credential.values['token']}"
    transaction = world.transaction()
    token = world.issue_token(transaction, credential.system, credential.principal, TOKEN_LIFETIME)
    transaction.commit()
    return f"Bearer {token}"


@contextmanager
def _quiet() -> Iterator[None]:
    """What the mock cannot answer is said as a departure, or not at all; never as an error of the sandbox."""
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
