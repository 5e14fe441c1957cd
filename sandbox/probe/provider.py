"""A provider under contract: one system behind HTTP, the project's mock or the real one."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import urljoin

import httpx
import orjson

from sandbox.access import schemes_in_use
from sandbox.clock import Clock, SystemClock
from sandbox.credentials import Credential, credentials, kind_of
from sandbox.errors import ProviderError
from sandbox.forms import FORM, MULTIPART, parted, written
from sandbox.model import JSON, Answer, Json
from sandbox.remote_world import RemoteWorld
from sandbox.spec import Operation, Spec
from sandbox.tokens import token_operations

Principal = Literal["integrator", "other", "nobody"]
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# A real provider's rate limit is obeyed, up to so many seconds at a time.
LONGEST_WAIT: Final = 90
TIME_LIMIT: Final = 30.0
BOUNDARY: Final = "contract-boundary"
LARGEST: Final = 32 * 1024 * 1024
_CLOCK: Final = SystemClock()


@dataclass(frozen=True, slots=True)
class Request:
    """A request of an operation, ready to be sent and easy to change (`dataclasses.replace`).

    Attributes:
        path: Below the system's URL, percent-encoded.
        body: A JSON value; bytes are sent as they are; `None` sends nothing.
    """

    operation: Operation
    path: str
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Json | bytes = None
    content_type: str = JSON

    def with_headers(self, **headers: str | None) -> Request:
        """The same with other headers, named with underscores; None takes one away."""
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in changed}
        return replace(self, headers={**kept, **{name: value for name, value in changed.items() if value is not None}})

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body or b""
        if self.content_type == FORM and isinstance(self.body, dict):
            return written(self.body)
        if self.content_type == MULTIPART and isinstance(self.body, dict):
            return parted(self.body, BOUNDARY)
        return orjson.dumps(self.body)


class Provider:
    """One system, reached by HTTP.

    Args:
        url: Where it is, e.g. `https://api.example.com/v2`.
        access: Credentials of its principals; a principal without any cannot be asked for.
        writable: Whether requests that may change something are allowed.
        world: The world of the sandbox that it lives in; None for a real provider.
        trusted: A file of certificate authorities; left out, those of the machine.
        clock: Waits where a real provider asks for it.
    """

    def __init__(
        self,
        spec: Spec,
        url: str,
        access: Sequence[Credential],
        *,
        writable: bool = True,
        world: RemoteWorld | None = None,
        trusted: str | None = None,
        clock: Clock = _CLOCK,
    ) -> None:
        self.spec = spec
        self.url = url.rstrip("/")
        self.writable = writable
        self.world = world
        self._access = list(access)
        self._clock = clock
        self._tokens: dict[str, str] = {}
        self.http = httpx.Client(
            timeout=TIME_LIMIT, trust_env=world is None, verify=trusted or world is None, follow_redirects=False
        )

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def principals(self) -> frozenset[str]:
        """Whose credentials there are."""
        return frozenset(credential.principal for credential in self._access)

    def credentials(self, principal: Principal) -> list[Credential]:
        """What a principal shows, one for each security scheme."""
        return [credential for credential in self._access if credential.principal == principal]

    def close(self) -> None:
        self.http.close()

    def send(self, request: Request, principal: Principal = "integrator") -> Answer:
        """Send a request and return the answer; a real provider's 429 is waited for and tried again once.

        Raises:
            ProviderError: when it cannot be reached, or the request is not allowed to be sent.
        """
        answer = self._send(request, principal)
        if answer.status == 401 and principal in self._tokens:
            del self._tokens[principal]
            answer = self._send(request, principal)
        if answer.status == 429 and self.world is None:
            wait = answer.header("retry-after") or ""
            if wait.isdecimal() and int(wait) <= LONGEST_WAIT:
                self._clock.sleep(int(wait))
                answer = self._send(request, principal)
        return answer

    def _send(self, request: Request, principal: Principal) -> Answer:
        if not self.writable and request.operation.method not in SAFE:
            raise ProviderError(
                f"{self.name}: {request.operation.id} would change something at {self.url}", "allow it with --write"
            )
        headers = {"accept": "*/*", **request.headers}
        query = dict(request.query)
        if request.content:
            several = request.content_type == MULTIPART
            headers.setdefault("content-type", f"{MULTIPART}; boundary={BOUNDARY}" if several else request.content_type)
        if principal != "nobody":
            self._identify(request.operation, principal, headers, query)
        try:
            return self._exchange(request, headers, query)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            hint = "is it running, and is --base-url right?"
            raise ProviderError(f"{self.name}: no answer from {self.url}: {reason}", hint) from error

    def _exchange(self, request: Request, headers: dict[str, str], query: dict[str, str | list[str]]) -> Answer:
        with self.http.stream(
            request.operation.method,
            f"{self.url}{request.path}",
            params=query,
            headers=headers,
            content=request.content,
        ) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                size += len(part)
                if size > LARGEST:
                    raise ProviderError(
                        f"{self.name}: {request.operation.id} answers with more than {LARGEST >> 20} MiB",
                        "ask it for less, e.g. by a smaller page",
                    )
                parts.append(part)
        return Answer(response.status_code, tuple(response.headers.multi_items()), b"".join(parts))

    def _identify(
        self, operation: Operation, principal: Principal, headers: dict[str, str], query: dict[str, str | list[str]]
    ) -> None:
        """Add what the first alternative of the security requirements asks for."""
        basic = self._token_credentials(principal) if operation.id == self.spec.token_operation else None
        if basic is not None:
            headers.setdefault("authorization", _basic(basic))
            return
        for scheme_name in next(iter(operation.security), ()):
            scheme = self.spec.security_schemes.get(scheme_name, {})
            if not kind_of(scheme):
                continue
            credential = self._credential(scheme_name, principal)
            values = tuple(credential.values.values())
            match kind_of(scheme):
                case "api_key" if scheme["in"] == "query":
                    query.setdefault(str(scheme["name"]), values[0])
                case "api_key" if scheme["in"] == "cookie":
                    headers.setdefault("cookie", f"{scheme['name']}={values[0]}")
                case "api_key":
                    headers.setdefault(str(scheme["name"]).lower(), values[0])
                case "bearer":
                    headers.setdefault("authorization", f"Bearer {values[0]}")
                case "basic":
                    headers.setdefault("authorization", _basic(credential))
                case "authorized":
                    headers.setdefault("authorization", f"Bearer {credential.values['access_token']}")
                case "client":
                    headers.setdefault("authorization", f"Bearer {self._token(scheme, credential)}")

    def _credential(self, scheme: str, principal: str) -> Credential:
        for credential in self._access:
            if (credential.scheme, credential.principal) == (scheme, principal):
                return credential
        wanted = next(c for c in credentials(0, self.name, schemes_in_use(self.spec)) if c.scheme == scheme)
        names = " and ".join(wanted.environment())
        raise ProviderError(f"{self.name}: no credentials of {principal}", f"set {names}")

    def _token_credentials(self, principal: str) -> Credential | None:
        found = (c for c in self._access if c.principal == principal and c.kind == "client")
        return next(found, None)

    def _token(self, scheme: Mapping[str, Any], credential: Credential) -> str:
        """An access token (RFC 6749, section 4.4), asked for once."""
        if credential.principal not in self._tokens:
            flow = scheme.get("flows", {}).get("clientCredentials", {})
            url = urljoin(f"{self.url}/", str(flow.get("tokenUrl", "")).lstrip("/"))
            if self.world is not None and (beside := token_operations(self.spec)):
                # A mock serves what its spec has elsewhere.
                url = f"{self.url}{next(iter(beside.values())).path}"
            answer = self.http.post(
                url, data={"grant_type": "client_credentials"}, headers={"authorization": _basic(credential)}
            )
            token = answer.json().get("access_token") if answer.is_success else None
            if not isinstance(token, str):
                raise ProviderError(
                    f"{self.name}: {url} hands out no token: {answer.status_code}", "check the client id and its secret"
                )
            self._tokens[credential.principal] = token
        return self._tokens[credential.principal]


def _basic(credential: Credential) -> str:
    return "Basic " + base64.b64encode(":".join(credential.values.values()).encode()).decode()


def real_credentials(spec: Spec, environment: Mapping[str, str]) -> list[Credential]:
    """The credentials of a real provider, from the variables that `sandbox env` prints for its mock.

    Those of a second principal have `OTHER_` before them: `OTHER_SHOP_API_KEY`.
    """
    found = []
    for wanted in credentials(0, spec.name, schemes_in_use(spec)):
        prefix = "OTHER_" if wanted.principal == "other" else ""
        names = dict(zip(wanted.values, wanted.environment(), strict=True))
        values = {name: environment.get(prefix + variable, "") for name, variable in names.items()}
        if all(values.values()):
            found.append(replace(wanted, values=values))
    return found
