"""What the commands know of a running sandbox: its control API over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from sandbox.cli.options import DEFAULT_WORLD
from sandbox.errors import SandboxError

START_IT = "start it with: sandbox up"
PAGE = 500


class Client:
    """One world of a running sandbox, seen through `/_sandbox`.

    The machine's proxy settings are ignored: the sandbox is local.

    Args:
        url: Where the sandbox runs, such as `http://127.0.0.1:8420`.
        world: The world that the calls are about.
    """

    def __init__(self, url: str, world: str) -> None:
        self.url = url
        self.world = world
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=httpx.Timeout(30.0, connect=5.0))

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
            except httpx.RemoteProtocolError:
                return

    def call(self, method: str, url: str, *, headers: dict[str, str], body: bytes) -> httpx.Response:
        """A call to a system of the sandbox, at its own address."""
        with self._reachable():
            return self._http.request(method, url, headers=headers, content=body)

    def _control(self, path: str, **query: Any) -> Any:
        with self._reachable():
            answer = self._http.get(f"/_sandbox/{path}", params=_given(query))
        return self._document(answer)

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
            raise SandboxError(f"no sandbox runs at {self.url}", START_IT) from error
        except httpx.TransportError as error:
            raise SandboxError(f"{self.url} gave no proper answer: {str(error) or type(error).__name__}") from error


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
