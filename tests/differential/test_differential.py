"""Our systems against the same ones on stock Connexion: generated requests, valid and not, get the same answers."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from sandbox.project import Project
from sandbox.remote_world import RemoteWorld
from sandbox.server import Server
from tests.differential.asking import Asked, Asking, Seen, Side, query
from tests.differential.differences import ALLOWED, Comparison
from tests.differential.plain import Told, application, bare_spec, served
from tests.differential.systems import SYSTEMS

TICK = 1.0
# Once, half-way, idempotency keys expire.
LEAP = 25 * 3600.0


@dataclass
class Run:
    """What was asked, and what both answered."""

    asked: list[tuple[Asked, Seen, Seen]] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)

    @property
    def statuses(self) -> Counter[tuple[str, int]]:
        return Counter((asked.operation, ours.status) for asked, ours, _ in self.asked)


@contextlib.contextmanager
def both(project: Project, system: str, told: Told) -> Iterator[tuple[Side, Side, RemoteWorld, tuple[str, str]]]:
    """Our system and the plain one, side by side."""
    kind = SYSTEMS[system]
    with Server(project, port=0, rate_limits=False).running() as server, contextlib.ExitStack() as stack:
        access = server.access()
        world = RemoteWorld(access.control, "default")
        stack.callback(world.close)
        world.freeze()
        base, credential = access.systems[system]["url"], kind.credential(access.systems[system])
        # A world is filled when it is first called.
        requests.get(f"{base}{kind.first}", headers=dict([credential]), timeout=60).raise_for_status()
        plain = kind.make(told, world.state(system))
        app = application(bare_spec(project.specs[system].path), plain, {credential[1].split()[-1]})
        url = stack.enter_context(served(app))
        sessions = [stack.enter_context(requests.Session()) for _ in range(2)]
        yield Side(base, sessions[0]), Side(f"{url}/{system}", sessions[1]), world, credential


def run(project: Project, system: str, count: int, number: int) -> Run:
    """Ask both so many things."""
    told, done, kind = Told(), Run(), SYSTEMS[system]
    with both(project, system, told) as (ours, plain, world, credential):
        document = yaml.safe_load(project.specs[system].path.read_text(encoding="utf-8"))
        asking = Asking(document, credential, kind.sensible, kind.beside, kind.often, number, count)
        for serial, asked in enumerate(asking):
            world.advance(LEAP if serial == count // 2 else TICK)
            told.now = world.now()
            first = ours.send(asked, 0)
            told.answer = first.json if first.status < 300 else None
            second = plain.send(asked, 1)
            done.asked.append((asked, first, second))
            done.comparison.compare(asked, first, second)
            asking.learn(asked, (first, second))
    return done


@pytest.fixture(scope="module")
def short(project: Project) -> Run:
    return run(project, "shop", 150, 1)


def test_150_requests_get_the_same_answers(short: Run) -> None:
    assert short.comparison.found == []
    assert len(short.asked) == 150
    assert {200, 201, 204, 400, 401, 404, 409} <= {status for _, status in short.statuses}


def _at(part: Any, chance: random.Random) -> tuple[Any, Any]:
    """A place in a document that holds a plain value."""
    while True:
        key = chance.choice(sorted(part) if isinstance(part, dict) else range(len(part)))
        if not part[key] or not isinstance(part[key], dict | list):
            return part, key
        part = part[key]


def _with(change: Callable[[Any, random.Random], None]) -> Callable[[Seen], Seen]:
    def alter(seen: Seen) -> Seen:
        body = copy.deepcopy(seen.json)
        change(body, random.Random(7))
        return replace(seen, body=json.dumps(body).encode())

    return alter


def _another_value(body: Any, chance: random.Random) -> None:
    part, key = _at(body, chance)
    part[key] = [part[key]]


def _one_is_true(body: Any, _: random.Random) -> None:
    body["line_items"] = body["line_items"] == 1


def _no_field(body: Any, _: random.Random) -> None:
    del body["currency"]


def _one_field_more(body: Any, _: random.Random) -> None:
    body["surplus"] = None


def _one_less(body: Any, _: random.Random) -> None:
    next(iter(body.values())).pop()


def _no_header(name: str) -> Callable[[Seen], Seen]:
    return lambda seen: replace(seen, headers={key: value for key, value in seen.headers.items() if key != name})


def _header(name: str, value: str) -> Callable[[Seen], Seen]:
    return lambda seen: replace(seen, headers={**seen.headers, name: value})


@pytest.mark.parametrize(
    ("operation", "status", "alter"),
    [
        ("get_product", 200, lambda seen: replace(seen, status=203)),
        ("list_products", 200, _with(_one_less)),
        ("place_order", 201, _with(_another_value)),
        ("place_order", 201, _with(_one_is_true)),
        ("place_order", 201, _with(_no_field)),
        ("place_order", 201, _with(_one_field_more)),
        ("place_order", 201, _no_header("location")),
        ("place_order", 201, _no_header("etag")),
        ("pay_order", 200, _header("etag", '"v99"')),
        ("", 401, _no_header("www-authenticate")),
        ("get_product", 200, _header("content-type", "application/json; charset=utf-8")),
        ("pay_order", 409, _with(lambda body, _: body.update(type="/problems/order-shipped"))),
        ("delete_webhook_subscription", 204, lambda seen: replace(seen, body=b"{}")),
        ("delete_webhook_subscription", 404, lambda seen: replace(seen, status=204, headers={}, body=b"")),
    ],
)
def test_what_is_planted_is_found(short: Run, operation: str, status: int, alter: Callable[[Seen], Seen]) -> None:
    asked, ours, plain = next(
        (asked, ours, plain)
        for asked, ours, plain in short.asked
        if asked.operation.startswith(operation) and ours.status == status and "cursor" not in query(asked, 0)
    )
    comparison = Comparison(same=dict(short.comparison.same))
    comparison.compare(asked, ours, plain)
    assert comparison.found == []
    comparison.compare(asked, alter(ours), plain)
    assert len(comparison.found) == 1
    assert comparison.found[0].startswith(asked.operation)


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_2000_requests_get_the_same_answers(
    project: Project, system: str, record_property: Callable[[str, object], None]
) -> None:
    done = run(project, system, 2000, 3)
    assert done.comparison.found == []
    assert len(done.asked) == 2000
    unused = {allowed.what for allowed in ALLOWED if allowed.system in ("", system)} - set(done.comparison.used)
    assert not unused, "what is allowed, and is not needed"
    assert {name for name, status in done.statuses if status < 300} - {"-"} == set(project.specs[system].operations)
    met = {status for _, status in done.statuses}
    assert SYSTEMS[system].statuses <= met
    assert sum("idempotent-replayed" in ours.headers for _, ours, _ in done.asked) > 5
    for what, times in sorted(done.comparison.used.items()):
        record_property("told", f"{system}: allowed {times} times: {what}")


@pytest.mark.slow
def test_a_rule_that_is_forgotten_is_found(checkout: Path, tmp_path: Path) -> None:
    for part in ("specs", "mocks"):
        shutil.copytree(checkout / part, tmp_path / part)
    shop = tmp_path / "mocks" / "shop.py"
    rule = 'raise Problem(409, "this is the last line item; cancel the order instead", type="last-line-item")'
    text = shop.read_text(encoding="utf-8")
    assert rule in text
    shop.write_text(text.replace(rule, "pass"), encoding="utf-8")
    done = run(Project.load(tmp_path), "shop", 600, 3)
    assert any(found.startswith("cancel_line_item") for found in done.comparison.found)
