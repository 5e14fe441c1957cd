"""How the four systems are called: credentials, time limit, what an answer means."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

Json = dict[str, Any]

TIMEOUT = int(os.environ.get("TIMEOUT_MS", "300")) / 1000
BACKOFF_BASE = float(os.environ.get("BACKOFF_BASE", "0.05"))
IGNORES_RETRY_AFTER = os.environ.get("MISTAKE") == "ignores-retry-after"


class TryAgain(Exception):
    """It may work later, with the same key."""

    def __init__(self, reason: str, not_before: float = 0.0, *, sent: bool = True) -> None:
        super().__init__(reason)
        self.not_before = not_before
        self.sent = sent


class Refused(Exception):
    """It will not work, however often it is tried."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


def pick(source: Any, *names: str, optional: tuple[str, ...] = ()) -> Json:
    try:
        return {name: source[name] for name in names} | {name: source[name] for name in optional if name in source}
    except (KeyError, TypeError, IndexError):
        raise TryAgain(f"an answer lacks one of {', '.join(names)}") from None


class System:
    """One of the four systems; its credential goes nowhere else."""

    def __init__(self, http: httpx.AsyncClient, name: str, credential: dict[str, str] | None = None) -> None:
        self.http, self.name = http, name
        self.url = os.environ[f"{name.upper()}_URL"]
        self.credential = credential or {}
        self.not_before = 0.0

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        order: str = "",
        key: str | None = None,
        expect: str | int = "",
        **more: Any,
    ) -> httpx.Response:
        response = await self._send(method, path, body, order, key, more)
        if 200 <= response.status_code < 300:
            if not isinstance(read(response), dict):
                raise TryAgain(f"{self.name} {method} {path}: not a JSON object")
            return response
        return self._judge(f"{self.name} {method} {path}: {response.status_code}", response, expect)

    async def _send(
        self, method: str, path: str, body: Json | None, order: str, key: str | None, more: Json
    ) -> httpx.Response:
        if time.time() < self.not_before:
            raise TryAgain(f"{self.name} asked to wait", self.not_before, sent=False)
        trace = hashlib.sha256((order or str(time.time_ns())).encode()).hexdigest()[:32]
        headers = {**self.credential, "traceparent": f"00-{trace}-{random.getrandbits(64) or 1:016x}-01"}
        if key:
            headers["Idempotency-Key"] = key
        try:
            async with asyncio.timeout(TIMEOUT):  # until the last byte
                return await self.http.request(method, self.url + path, json=body, headers=headers, **more)
        except (httpx.HTTPError, TimeoutError) as error:
            raise TryAgain(f"{self.name} {method} {path}: {type(error).__name__}") from error

    def _judge(self, source: str, response: httpx.Response, expect: str | int) -> httpx.Response:
        status, problem = response.status_code, read(response) or {}
        fields = [str(error.get("pointer")) for error in problem.get("errors", [])]
        reason = " ".join([source, str(problem.get("title", "")), *fields])
        not_before = 0.0 if IGNORES_RETRY_AFTER else retry_after(response)
        if status in {408, 425, 429} or status >= 500:
            self.not_before = max(self.not_before, not_before)
            raise TryAgain(reason, not_before)
        if expect and expect in {status, str(problem.get("type")).rpartition("/")[2]}:
            return response
        if status == 409 or status < 400:  # an unexplained 409: the first request is still at work
            raise TryAgain(reason, not_before or time.time() + BACKOFF_BASE)
        raise Refused(reason, status)


class Crm(System):
    """Its credential is a token that expires."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__(http, "crm")
        self.tokens = System(http, "crm")
        self.client = httpx.BasicAuth(os.environ["CRM_CLIENT_ID"], os.environ["CRM_CLIENT_SECRET"])
        self.expires = 0.0
        self.lock = asyncio.Lock()

    async def _renew(self, refused: dict[str, str]) -> None:
        async with self.lock:
            if self.credential == refused or time.time() >= self.expires:
                form = {"grant_type": "client_credentials"}
                answer = await self.tokens.call("POST", "/oauth/token", data=form, auth=self.client)
                token = pick(answer.json(), "access_token", "expires_in")
                self.credential = {"Authorization": f"Bearer {token['access_token']}"}
                self.expires = time.time() + max(token["expires_in"] / 2, token["expires_in"] - 10)

    async def _send(self, *arguments: Any) -> httpx.Response:
        if time.time() >= self.expires:
            await self._renew(self.credential)
        used = self.credential
        response = await super()._send(*arguments)
        if response.status_code == 401:
            await self._renew(used)
            response = await super()._send(*arguments)
        return response


def read(response: httpx.Response) -> Json | None:
    try:
        body = response.json() if response.content else {}
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def retry_after(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    with contextlib.suppress(ValueError):
        return time.time() + int(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp()
    return 0.0
