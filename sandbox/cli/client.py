"""What the commands know of a running sandbox: its control API over HTTP."""

from __future__ import annotations

import json
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from sandbox.cli.options import control_token, trusted
from sandbox.errors import SandboxError
from sandbox.model import DEFAULT_WORLD

START_IT = "start it with: sandbox up"
SHOW_IT = "name the token that `sandbox up` printed with --control-token or SANDBOX_CONTROL_TOKEN"
TRUST_IT = "name the authority's file, which `sandbox up --tls` printed, with --ca-file or SANDBOX_CA_FILE"
PAGE = 500


class Client:
    """One world of a running sandbox, seen through `/_sandbox`.

    The machine's proxy settings are ignored: the sandbox is local. Control token and authority are those that the
    running command was given (`url_option`).

    Args:
        url: Where the sandbox runs, such as `http://127.0.0.1:8420`.
        world: The world that the calls are about.
    """

    def __init__(self, url: str, world: str) -> None:
        self.url = url
        self.world = world
        self._http = httpx.Client(
            base_url=url,
            verify=_trust(url),
            auth=_ControlToken(control_token()),
            trust_env=False,
            timeout=httpx.Timeout(30.0, connect=5.0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def seed(self) -> int:
        """The seed of the sandbox, from which all credentials follow: that of its default world."""
        return int(self._control(f"worlds/{DEFAULT_WORLD}")["seed"])

    def systems(self) -> list[str]:
        """The names of the systems."""
        with self._reachable():
            answer = self._http.get("/")
        return list(self._document(answer)["systems"])

    def require_system(self, name: str) -> None:
        """Refuse the name of a system that is not served.

        Raises:
            SandboxError: with the names that are.
        """
        known = self.systems()
        if name not in known:
            raise SandboxError(f"there is no system {name!r}", f"there are: {', '.join(known)}")

    def state(self, system: str | None) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """The collections by system; of one system only, when it is named."""
        state: dict[str, dict[str, list[dict[str, Any]]]] = self._control(f"worlds/{self.world}/state", system=system)
        return state

    def journal(self, **criteria: str | int | None) -> Iterator[dict[str, Any]]:
        """All entries so far that match the criteria (`system`, `operation`, `key`), oldest first."""
        after: int | None = 0
        while after is not None:
            page = self._control(f"worlds/{self.world}/journal", after=after, limit=PAGE, **criteria)
            yield from page["entries"]
            after = page["next"]

    def follow(self, after: int, **criteria: str | int | None) -> Iterator[dict[str, Any]]:
        """Entries newer than `after` as they come, until the sandbox stops."""
        path = f"/_sandbox/worlds/{self.world}/journal/stream"
        query = _given(criteria | {"after": after})
        with self._reachable():
            try:
                with self._http.stream("GET", path, params=query, timeout=None) as answer:
                    if not answer.is_success:
                        answer.read()
                        self._document(answer)
                    for line in answer.iter_lines():
                        if line.startswith("data:"):
                            yield json.loads(line.removeprefix("data:"))
            except (httpx.RemoteProtocolError, httpx.ConnectError, httpx.ReadError):
                # Its older entries have been read, so it was there: it has stopped.
                return

    def faults(self) -> dict[str, Any]:
        """The armed faults: `{"seed", "faults", "weather"}`."""
        armed: dict[str, Any] = self._control(f"worlds/{self.world}/faults")
        return armed

    def add_fault(self, fault: dict[str, Any]) -> dict[str, Any]:
        """Arm one fault; returns it as armed, with its id."""
        armed: dict[str, Any] = self._change("POST", f"worlds/{self.world}/faults", fault)
        return armed

    def put_plan(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Arm the faults of a plan in place of those armed now; returns what is armed then."""
        armed: dict[str, Any] = self._change("PUT", f"worlds/{self.world}/faults", plan)
        return armed

    def remove_fault(self, id: str) -> None:  # noqa: A002 - the field's own name
        self._change("DELETE", f"worlds/{self.world}/faults/{quote(id, safe='')}")

    def clear_faults(self) -> None:
        self._change("DELETE", f"worlds/{self.world}/faults")

    def call(self, method: str, url: str, *, headers: dict[str, str], body: bytes) -> httpx.Response:
        """A call to a system of the sandbox, at its own address."""
        with self._reachable():
            return self._http.request(method, url, headers=headers, content=body)

    def _control(self, path: str, **query: Any) -> Any:
        with self._reachable():
            answer = self._http.get(f"/_sandbox/{path}", params=_given(query))
        return self._document(answer)

    def _change(self, method: str, path: str, body: Any = None) -> Any:
        with self._reachable():
            answer = self._http.request(method, f"/_sandbox/{path}", json=body)
        return None if answer.status_code == httpx.codes.NO_CONTENT else self._document(answer)

    def _document(self, answer: httpx.Response) -> Any:
        """The JSON of a good answer.

        Raises:
            SandboxError: The sandbox refused, or whatever answered is no sandbox.
        """
        try:
            document = answer.json()
        except ValueError:
            document = None
        if answer.is_success and document is not None:
            return document
        if isinstance(document, dict) and document.get("type") == "/problems/plan":
            what = document["errors"][0]["detail"]
            raise SandboxError(what, document["detail"].removeprefix(f"{what}; ") or None)
        if isinstance(document, dict) and document.get("type") == "/problems/control-token":
            raise SandboxError(f"{self.url}: the control token is missing or wrong", SHOW_IT)
        if isinstance(document, dict) and "detail" in document:
            raise SandboxError(f"{self.url}: {document['detail']}")
        raise SandboxError(
            f"{self.url} answers {answer.status_code} at {answer.url.path}, so it is no sandbox",
            "name the right address with --url or SANDBOX_URL",
        )

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Turns what can go wrong on the way into one clear line."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise SandboxError(f"{self.url} shows a certificate that is not trusted", TRUST_IT) from error
            raise SandboxError(f"no sandbox runs at {self.url}", START_IT) from error
        except httpx.TransportError as error:
            raise SandboxError(f"{self.url} gave no proper answer: {str(error) or type(error).__name__}") from error


class _ControlToken(httpx.Auth):
    """Shows the token to the control API, and to nothing else at the same address."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._token is not None and request.url.path.startswith("/_sandbox/"):
            request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _trust(url: str) -> ssl.SSLContext:
    """The usual authorities, and at an https URL the sandbox's own."""
    context = httpx.create_ssl_context(trust_env=False)
    files = trusted(url)
    if files is not None and files.ca.is_file():
        try:
            context.load_verify_locations(files.ca)
        except ssl.SSLError:
            raise SandboxError(f"{files.ca} holds no certificate", TRUST_IT) from None
    return context


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
