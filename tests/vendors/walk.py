"""A caller of any system: makes valid requests from its spec alone, and walks through its collections."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import requests

from sandbox.forms import FORM, MULTIPART, parted
from sandbox.inprocess import InProcess
from sandbox.operation import Operation
from sandbox.seeded import SeededFaker
from sandbox.shaping import ABSENT, Shaper
from sandbox.spec import Spec
from sandbox.values import Muse

NOW = "2026-01-02T03:04:05.000Z"


@dataclass
class Walker:
    """Calls one system in one world with its credentials."""

    spec: Spec
    sandbox: InProcess
    world: str = "default"
    made: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        access = self.sandbox.access(self.world)
        self.given = access.systems[self.spec.name]
        self.session = self.sandbox.session()
        self._asked: list[str] = []
        self._shaper = Shaper(self.spec.document, "readOnly")

    def operation(self, action: str, collection: str) -> Operation | None:
        found = (
            operation
            for operation in self.spec.operations.values()
            if operation.meaning.action == action and operation.meaning.collection == collection
        )
        return next(found, None)

    def body(self, operation: Operation, **changes: Any) -> Any:
        """A valid body with what it must have, and with the ids of what was made where it points at something."""
        if operation.body is None:
            return None
        media = next(iter(operation.body.content.values()))
        self._asked.append(operation.id)
        muse = Muse(SeededFaker(lambda: random.Random(f"{operation.id} {len(self._asked)}")), NOW)
        body = self._shaper.complete(media.schema or {}, muse, changes or ABSENT)
        self._point(operation, body)
        if media.validator is not None:
            for attempt in range(5):
                for error in media.validator.errors(body):
                    body = self._shaper.mend(media.schema or {}, muse, body, error.pointer, attempt)
        return body

    def _point(self, operation: Operation, body: Any) -> None:
        """Let the references in a body point at what exists."""
        kind = self.spec.collections.get(operation.meaning.collection or "")
        inner = operation.meaning.body_at.get(body)
        for one in inner if isinstance(inner, list) else [inner]:
            for name, target in kind.references.items() if kind is not None and isinstance(one, dict) else ():
                if name in one and target in self.made:
                    one[name] = self.made[target]
                elif name in one:
                    del one[name]

    def call(self, operation: Operation, body: Any = None, query: Any = None, **path: Any) -> requests.Response:
        """A request with the system's credentials; path parameters are those given, else ids of what was made."""
        url = self.given["url"] + operation.path
        for name in (p.name for p in operation.parameters if p.location == "path"):
            url = url.replace(f"{{{name}}}", quote(str(path.get(name, self._known(operation, name))), safe=""))
        headers, asked = self.credentials(operation)
        content: Any = None
        if body is not None and operation.body is not None:
            media = next(iter(operation.body.content))
            headers["content-type"] = media
            content = urlencode(flat(body)) if media == FORM else json.dumps(body)
            if media == MULTIPART:
                headers["content-type"] = f"{MULTIPART}; boundary=walk"
                content = parted(body, "walk")
        needed = (one for one in operation.parameters if one.location == "query" and one.required)
        forced = {one.name: str(one.schema["enum"][0]).lower() for one in needed if "enum" in one.schema}
        params = {**forced, **asked, **(query or {})}
        return self.session.request(operation.method, url, params=params, data=content, headers=headers)

    def credentials(self, operation: Operation) -> tuple[dict[str, str], dict[str, str]]:
        headers: dict[str, str] = {}
        query: dict[str, str] = {}
        mine = {
            c.scheme: c
            for c in self.sandbox.access(self.world).credentials
            if c.principal == "integrator" and c.system == self.spec.name
        }
        for name in next(iter(operation.security), ()):
            scheme, credential = self.spec.security_schemes[name], mine[name]
            values = list(credential.values.values())
            if credential.kind == "api_key":
                (query if scheme["in"] == "query" else headers)[scheme["name"]] = values[0]
            elif credential.kind == "basic":
                headers["authorization"] = requests.auth._basic_auth_str(*values)
            elif credential.kind == "client":
                headers["authorization"] = f"Bearer {self.token(values)}"
            else:
                headers["authorization"] = f"Bearer {values[-1]}"
        return headers, query

    def token(self, client: list[str]) -> str:
        form = {"grant_type": "client_credentials", "client_id": client[0], "client_secret": client[1]}
        answer = self.session.post(self.given["token_url"], data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def _known(self, operation: Operation, name: str) -> Any:
        meaning = operation.meaning
        if meaning.parent is not None and meaning.parent.parameter == name:
            return self.made.get(meaning.parent.collection, "none")
        return self.made.get(meaning.collection or "", "none")

    def record(self, operation: Operation, answer: requests.Response) -> Any:
        """The record in an answer's envelope; the records, of a list."""
        place = operation.meaning.answer_at
        found = answer.json() if place is None else place.get(answer.json())
        return found[0] if place is not None and place.many and operation.meaning.action != "list" else found


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """A value as the fields of a form, with brackets."""
    if isinstance(value, Mapping):
        return [pair for key, one in value.items() for pair in flat(one, f"{name}[{key}]" if name else key)]
    if isinstance(value, list):
        return [pair for number, one in enumerate(value) for pair in flat(one, f"{name}[{number}]")]
    return [(name, str(value).lower() if isinstance(value, bool) else str(value))]
