"""How the zoo's own integrators talk: one call and what its answer means, and the signature of a webhook."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Any

import requests

from sandbox.chaos.subject import Surroundings

Json = dict[str, Any]

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Again(Exception):
    """Nobody knows whether it happened, or it did not; another try makes sense.

    Args:
        not_before: When the system will hear it, in unix seconds.
    """

    def __init__(self, reason: str, not_before: float = 0.0) -> None:
        super().__init__(reason)
        self.not_before = not_before


class Refused(Exception):
    """The system does not want it, however often it is asked."""


class Unauthorized(Refused):
    """The system does not know us."""


class Api:
    """The four systems.

    Args:
        timeout: Seconds of silence after which a call is given up.

    Attributes:
        about: What the next calls are about; they share a trace.
        closed: By system, until when it asked not to be called.
    """

    def __init__(self, surroundings: Surroundings, timeout: float = 10.0) -> None:
        self.environment = surroundings.environment
        self.clock = surroundings.clock
        self.timeout = timeout
        self.about = ""
        self.closed: dict[str, float] = {}
        self._session = surroundings.session
        self._sessions: dict[str, requests.Session] = {}
        self._token = ""
        self._expires = 0.0

    def call(
        self,
        system: str,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        key: str | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Json:
        """One call; a refused token is fetched anew, once.

        Raises:
            Again, Refused: when it did not work out.
        """
        response = self.send(system, method, path, body, key, params)
        if response.status_code == 401 and system == "crm":
            self._token = ""
            response = self.send(system, method, path, body, key, params)
        return self.judge(system, f"{system} {method}", response)

    def pages(self, system: str, path: str, name: str, params: Mapping[str, str]) -> list[Json]:
        """All records of a list."""
        found: list[Json] = []
        cursor = ""
        while True:
            more = {**params, "limit": "100", **({"cursor": cursor} if cursor else {})}
            response = self.send(system, "GET", path, None, None, more)
            records = self.judge(system, f"{system} GET", response).get(name)
            if not isinstance(records, list):
                raise Again(f"{system}: an answer without {name}")
            found += records
            following = requests.utils.parse_header_links(response.headers.get("link", ""))
            urls = [link["url"] for link in following if link.get("rel") == "next"]
            if not urls:
                return found
            cursor = urls[0].partition("cursor=")[2].partition("&")[0]

    def send(
        self,
        system: str,
        method: str,
        path: str,
        body: Json | None = None,
        key: str | None = None,
        params: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """One exchange; redirects are not followed."""
        self.check(system)
        headers = {"traceparent": self.traceparent(), **self.credential(system)}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            return self.session(system).request(
                method,
                self.environment[f"{system.upper()}_URL"] + path,
                json=body,
                params=params,
                headers=headers,
                timeout=self.timeout,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            self.failed(system)
            raise Again(f"{system} {method}: {type(error).__name__}") from error

    def check(self, system: str) -> None:
        """Let nothing pass to a system that asked for a rest."""
        if self.clock.now() < self.closed.get(system, 0.0):
            raise Again(f"{system} rests", self.closed[system])

    def failed(self, system: str) -> None:
        """Note that a system did not answer, or failed."""

    def succeeded(self, system: str) -> None:
        """Note that a system answered."""

    def judge(self, system: str, source: str, response: requests.Response) -> Json:
        """What an answer means."""
        status = response.status_code
        body = _json(response)
        if status in _TRY_AGAIN:
            self.failed(system)
            raise Again(f"{source}: {status}", self.rest(system, response))
        self.succeeded(system)
        if status < 300 and body is not None:
            return body
        kind = str((body or {}).get("type", "")).rpartition("/")[2]
        if status == 409 and kind == "duplicate-email":
            return body or {}
        if status == 401:
            raise Unauthorized(f"{source}: {status}")
        if status < 400 or kind == "idempotency-key-in-progress":
            raise Again(f"{source}: {status}", self.rest(system, response))
        raise Refused(f"{source}: {status} {kind}")

    def rest(self, system: str, response: requests.Response) -> float:
        """Leave a system alone for as long as it asks; returns until when."""
        not_before = self.retry_after(response)
        self.closed[system] = max(self.closed.get(system, 0.0), not_before)
        return not_before

    def retry_after(self, response: requests.Response) -> float:
        """When the system will hear us, in unix seconds; 0 when it does not say."""
        value = response.headers.get("retry-after", "")
        if value.isdecimal():
            return self.clock.now() + int(value)
        try:
            return parsedate_to_datetime(value).timestamp() if value else 0.0
        except ValueError:
            return 0.0

    def session(self, system: str) -> requests.Session:
        if system not in self._sessions:
            self._sessions[system] = self._session()
        return self._sessions[system]

    def traceparent(self) -> str:
        span = sha256(f"{self.about}{self.clock.now()}".encode()).hexdigest()[:16]
        return f"00-{sha256(self.about.encode()).hexdigest()[:32]}-{span}-01"

    def credential(self, system: str) -> dict[str, str]:
        """The headers that say who we are."""
        if system == "shop":
            return {"X-Shop-Api-Key": self.environment["SHOP_API_KEY"]}
        if system == "shipping":
            return {"X-Carrier-Key": self.environment["SHIPPING_API_KEY"]}
        if system == "accounting":
            return {"Authorization": f"Bearer {self.environment['ACCOUNTING_TOKEN']}"}
        if not self._token or self.clock.now() >= self._expires:
            self._fetch_token()
        return {"Authorization": f"Bearer {self._token}"}

    def _fetch_token(self) -> None:
        try:
            response = self.session("crm").post(
                self.environment["CRM_URL"] + "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(self.environment["CRM_CLIENT_ID"], self.environment["CRM_CLIENT_SECRET"]),
                headers={"traceparent": self.traceparent()},
                timeout=self.timeout,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            self.failed("crm")
            raise Again(f"crm token: {type(error).__name__}") from error
        token = self.judge("crm", "crm token", response)
        if not isinstance(token.get("access_token"), str):
            raise Again("crm token: an answer without access_token")
        self._token, self._expires = token["access_token"], self.clock.now() + 0.9 * float(token.get("expires_in", 60))


def _json(response: requests.Response) -> Json | None:
    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = None
    except requests.RequestException as error:
        raise Again(f"an answer that ends too early: {type(error).__name__}") from error
    return body if isinstance(body, dict) else None


def signed(secret: str, headers: Mapping[str, str], body: bytes, now: float, tolerance: float = 300.0) -> bool:
    """Whether a webhook comes from whom it says (Standard Webhooks 1.0.0)."""
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > tolerance:
        return False
    content = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    key = b64decode(secret.removeprefix("whsec_"))
    expected = f"v1,{b64encode(hmac_digest(key, content, 'sha256')).decode()}"
    return any(compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())
