"""Requests as Schemathesis draws them from a specification, and as answers lead on: along links, pages and repetitions.

What leads on is taken, on either side, from that side's own answers: an entity tag, a cursor, an id.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation

# Shares of all requests.
REPEATED, NEXT_PAGE, INVALID, LINKED, STRANGER = 0.08, 0.04, 0.25, 0.8, 0.04
UNTYPED, UNCONDITIONAL, BESIDE = 0.02, 0.1, 0.01
KEYLESS, REUSED = 0.3, 0.1
LATELY = 12


@dataclass(frozen=True)
class Seen:
    """An answer as a caller sees it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body and "json" in self.headers.get("content-type", "") else None


@dataclass(frozen=True)
class Side:
    """One of the two systems.

    Attributes:
        url: Where its operations are.
    """

    url: str
    session: requests.Session

    def send(self, asked: Asked, own: int) -> Seen:
        request = asked.prepared(self.url, own)
        answer = self.session.send(request, allow_redirects=False, timeout=60)
        return Seen(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content)


@dataclass(frozen=True)
class Asked:
    """A request that is sent to both.

    Attributes:
        values: Parameters by location and name, for each side its own.
        url: In place of all of that, where to go on, for each side its own.
        method: In place of the operation's own.
    """

    operation: str
    case: Case[Any]
    values: Mapping[tuple[str, str], tuple[Any, Any]] = field(default_factory=dict)
    url: tuple[str, str] | None = None
    method: str | None = None

    def prepared(self, base: str, side: int) -> requests.PreparedRequest:
        case = _copy(self.case)
        for (location, name), value in self.values.items():
            if location == "path":
                case.path_parameters[name] = value[side]
            elif value[side] is None:
                case.headers.pop(name, None)
            else:
                case.headers[name] = str(value[side])
        told = case.as_transport_kwargs(base_url=base)
        if self.url is not None:
            parts = urlsplit(base)
            told |= {"url": f"{parts.scheme}://{parts.netloc}{self.url[side]}", "params": {}}
        if self.method is not None:
            told["method"] = self.method
        for name in ("X-Schemathesis-TestCaseId", "User-Agent"):
            told["headers"].pop(name, None)
        return requests.Request(**told).prepare()

    def __str__(self) -> str:
        request = self.prepared("http://system", 0)
        body = request.body if isinstance(request.body, str | None) else repr(request.body)
        return f"{self.operation}: {request.method} {request.url} {dict(request.headers)} {(body or '')[:400]}"


def _copy(case: Case[Any]) -> Case[Any]:
    """A request that may be changed, and has forgotten how it was drawn."""
    return case.operation.Case(
        method=case.method,
        path_parameters=dict(case.path_parameters or {}),
        headers=case.headers.copy(),
        cookies=case.cookies,
        query=case.query,
        body=case.body,
        media_type=case.media_type,
    )


def drawn(operation: APIOperation[Any], mode: GenerationMode, count: int, number: int) -> list[Case[Any]]:
    """So many requests of an operation, or as many as there are."""
    found: list[Case[Any]] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Case[Any]) -> None:
        found.append(case)

    collect()
    return found


class Asking:
    """Draws one request after the other.

    Args:
        document: The specification.
        credential: The header that names the caller, and its value.
        sensible: Makes what was drawn agree with itself, where no schema can say how.
        beside: What is drawn never or seldom: `METHOD /path`.
        often: How much more often than others an operation is called.
        number: The seed.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        credential: tuple[str, str],
        sensible: Callable[[str, Any, random.Random], Any],
        beside: Sequence[str],
        often: Mapping[str, int],
        number: int,
        count: int,
    ) -> None:
        self._document = document
        self._credential = credential
        self._sensible = sensible
        self._chance = random.Random(number)
        self._beside = beside
        self._links = dict(_links(document))
        self._led: dict[str, list[dict[tuple[str, str], tuple[Any, Any]]]] = defaultdict(list)
        self._next: list[tuple[Asked, tuple[str, str]]] = []
        self._past: list[Asked] = []
        self._used: dict[str, list[str]] = defaultdict(list)
        self.count = count
        operations = {one["operationId"]: one for one in _operations(document)}
        names = [name for name in operations for _ in range(often.get(name, 1))]
        self._plan = [
            (
                self._chance.choice(names),
                GenerationMode.NEGATIVE if self._chance.random() < INVALID else GenerationMode.POSITIVE,
            )
            for _ in range(count)
        ]
        self._keyed = {name for name, one in operations.items() if one.get("x-idempotency", "none") != "none"}
        self._cases: dict[tuple[str, GenerationMode], Iterator[Case[Any]]] = {}
        wanted = Counter(self._plan)
        for result in schemathesis.openapi.from_dict(dict(document)).get_all_operations():
            operation = result.ok()
            name = operation.definition.raw["operationId"]
            for mode in GenerationMode:
                if wanted[name, mode]:
                    self._cases[name, mode] = itertools.cycle(drawn(operation, mode, wanted[name, mode], number))

    def __iter__(self) -> Iterator[Asked]:
        for serial, (operation, mode) in enumerate(self._plan):
            asked = self._asked(serial, operation, mode)
            self._past.append(asked)
            yield asked

    def _asked(self, serial: int, operation: str, mode: GenerationMode) -> Asked:
        chance = self._chance
        if self._next and chance.random() < NEXT_PAGE:
            asked, url = chance.choice(self._next[-LATELY:])
            return replace(asked, url=url)
        if self._past and chance.random() < REPEATED:
            return chance.choice(self._past[-LATELY:])
        case = _copy(next(self._cases[operation, mode]))
        values: dict[tuple[str, str], tuple[Any, Any]] = {}
        if mode is GenerationMode.POSITIVE:
            if isinstance(case.body, dict | list):
                case.body = self._sensible(operation, copy.deepcopy(case.body), chance)
            if operation in self._keyed:
                values["header", "Idempotency-Key"] = (self._key(serial, operation),) * 2
        if self._led[operation] and chance.random() < LINKED:
            values |= chance.choice(self._led[operation][-LATELY:])
            body = {name: values.pop(("body", name))[0] for location, name in list(values) if location == "body"}
            if body and isinstance(case.body, dict):
                case.body = self._sensible(operation, copy.deepcopy({**case.body, **body}), chance)
        if chance.random() < UNTYPED:
            values["header", "Content-Type"] = ("text/plain",) * 2
        if chance.random() < UNCONDITIONAL:
            values["header", "If-Match"] = (None, None)
        if chance.random() >= STRANGER:
            values["header", self._credential[0]] = (self._credential[1],) * 2
        if chance.random() < BESIDE:
            method, _, path = chance.choice(self._beside).partition(" ")
            return Asked("-", case, values, (path, path), method)
        return Asked(operation, case, values)

    def _key(self, serial: int, operation: str) -> str | None:
        """A key of its own, mostly; none, now and then; that of a call before, seldom."""
        share, used = self._chance.random(), self._used[operation]
        if share < KEYLESS:
            return None
        if share < KEYLESS + REUSED and used:
            return self._chance.choice(used[-LATELY:])
        used.append(f"key-{serial}")
        return used[-1]

    def learn(self, asked: Asked, answers: tuple[Seen, Seen]) -> None:
        """Take from two answers to the same request what leads on."""
        status = str(answers[0].status)
        for target, parameters in self._links.get((asked.operation, status), ()):
            found = {}
            for name, expression in parameters.items():
                location, _, rest = name.rpartition(".")
                location = location or "path"
                values = tuple(_value(expression, asked, side, answer) for side, answer in enumerate(answers))
                if None not in values:
                    found[location, rest] = values
            if len(found) == len(parameters):
                self._led[target].append(found)  # type: ignore[arg-type]
        urls = tuple(re.findall("<(.*?)>", answer.headers.get("link", ""))[:1] for answer in answers)
        if all(urls):
            self._next.append((asked, (urls[0][0], urls[1][0])))


def _operations(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for item in document["paths"].values():
        yield from (item[method] for method in ("get", "post", "put", "patch", "delete") if method in item)


def _links(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], list[tuple[str, dict[str, str]]]]]:
    for operation in _operations(document):
        for status, response in operation["responses"].items():
            links = [_resolved(link, document) for link in _resolved(response, document).get("links", {}).values()]
            yield (
                (operation["operationId"], status),
                [(link["operationId"], dict(_parameters(link))) for link in links],
            )


def _parameters(link: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a link says of the request, each by its location and name."""
    yield from link.get("parameters", {}).items()
    body = link.get("requestBody", {})
    yield from ((f"body.{name}", expression) for name, expression in body.items() if isinstance(body, dict))


def _resolved(part: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        document = document[step]
    return document


def _value(expression: str, asked: Asked, side: int, answer: Seen) -> Any:
    """What a runtime expression of a link means (OpenAPI 3.0.3, section 4.7.20.3); None where there is nothing."""
    if not expression.startswith("$"):
        return expression
    source, _, pointer = expression.partition("#")
    if source == "$response.body":
        part = answer.json
        for step in pointer.split("/")[1:]:
            try:
                part = part[int(step)] if isinstance(part, list) else part[step]
            except (KeyError, IndexError, TypeError):
                return None
        return part
    if source.startswith("$response.header."):
        return answer.headers.get(source.removeprefix("$response.header.").lower())
    name = source.removeprefix("$request.path.")
    given = asked.values.get(("path", name))
    return given[side] if given is not None else (asked.case.path_parameters or {}).get(name)


def query(asked: Asked, side: int) -> dict[str, str]:
    """The query as it is sent."""
    url = asked.prepared("http://system", side).url or ""
    return dict(parse_qsl(urlsplit(url).query))
