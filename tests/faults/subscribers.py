"""The shop in memory and those who subscribe to its events, for the tests of faults on deliveries."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.inprocess import BASE_URL, InProcess
from sandbox.integrator.signature import Forged, verify
from sandbox.project import Project

DEFAULT = f"{BASE_URL}/_sandbox/worlds/default"
TOLERANCE = 300.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ORDER = "2025-4471"
DAY = 86400.0
WEEK = 7 * DAY


@dataclass(frozen=True)
class Received:
    """A webhook as its subscriber saw it."""

    at: float
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        return str(self.payload["type"])

    @property
    def key(self) -> str:
        return str(self.payload["data"]["order_number"])

    @property
    def signatures(self) -> list[str]:
        return self.headers.get("webhook-signature", "").split()


class Subscriber:
    """Takes webhooks in memory, and answers 204 unless told otherwise; what proves nothing is refused with 401."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.got: list[Received] = []
        self.accepted: list[Received] = []
        self.answers: list[int] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        received = Received(self._now(), headers, environ["wsgi.input"].read())
        self.got.append(received)
        status = self.answers.pop(0) if self.answers else 204
        try:
            verify(SECRET, headers, received.body, now=self._now(), tolerance=TOLERANCE)
        except Forged:
            status = 401
        if status == 204:
            self.accepted.append(received)
        start_response(f"{status} Whatever", [])
        return [b""]

    @property
    def story(self) -> list[tuple[str, str]]:
        """Types and keys in the order of arrival."""
        return [(received.type, received.key) for received in self.got]


class Shop:
    """The shop in memory, and whoever buys there."""

    def __init__(self, project: Project) -> None:
        self.sandbox = InProcess(project)
        self._session = self.sandbox.session()
        env = self.sandbox.access().environment()
        self._session.headers["X-Shop-Api-Key"] = env["SHOP_API_KEY"]
        self._url = env["SHOP_URL"]

    @property
    def now(self) -> float:
        return self.sandbox.now

    def call(self, method: str, url: str, body: Any = None) -> Any:
        response = self._session.request(method, url if "//" in url else self._url + url, json=body)
        assert response.ok, response.text
        return response.json() if response.content else None

    def status(self, path: str) -> int:
        return self._session.get(self._url + path).status_code

    def subscribe(self, *events: str, name: str = "one") -> tuple[str, Subscriber]:
        """A new subscriber and its id."""
        url = f"http://127.0.0.1:9000/{name}"
        subscriber = Subscriber(lambda: self.now)
        self.sandbox.mount(url, subscriber)
        body = {"url": url, "events": list(events), "secret": SECRET}
        return self.call("POST", "/webhook-subscriptions", body)["id"], subscriber

    def place(self, number: str = ORDER) -> None:
        body = {"order_number": number, "customer": "Example Ltd", "amount_net": 1290.0, "currency": "EUR"}
        self.call("POST", "/orders", body | {"line_items": 3, "paid": True})

    def fault(self, inject: str, event: str = "order.paid", with_: Any = None, **on: Any) -> None:
        document = {"on": {"event": event, **on}, "inject": inject, "with": with_ or {}}
        self.call("POST", f"{DEFAULT}/faults", document)

    def run(self, seconds: float = 0.0) -> None:
        self.sandbox.run(seconds)

    def journal(self) -> list[dict[str, Any]]:
        """The entries of deliveries."""
        return [entry for entry in self.sandbox.world().entries() if entry["kind"] == "delivery"]

    def met(self) -> list[str | None]:
        """The fault in each delivery's entry."""
        return [entry["fault"] and entry["fault"]["inject"] for entry in self.journal()]

    def deliveries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"{DEFAULT}/deliveries")["deliveries"]
        return found

    def states(self) -> list[str]:
        return [delivery["state"] for delivery in self.deliveries()]
