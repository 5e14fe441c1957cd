"""Token and authorization endpoints that a spec only names by URL: their paths, served below the system's own.

An OAuth2 scheme's `tokenUrl` mostly lies at a host of its own, and is no operation of the document. What is asked of it
(RFC 6749) is asked of us at the same path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from sandbox.inference import Meaning
from sandbox.model import JSON
from sandbox.operation import MediaType, Operation, RequestBody, Response
from sandbox.spec import Spec

_FORM: Final = "application/x-www-form-urlencoded"
_USUAL: Final = {"tokenUrl": "/oauth/token", "authorizationUrl": "/oauth/authorize"}
# By flow as OpenAPI names it, the grant types of RFC 6749 that its token endpoint takes.
_GRANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "clientCredentials": ("client_credentials",),
    "application": ("client_credentials",),
    "password": ("password", "refresh_token"),
    "authorizationCode": ("authorization_code", "refresh_token"),
    "accessCode": ("authorization_code", "refresh_token"),
}


def grants(spec: Spec) -> frozenset[str]:
    """The grant types that the system's token endpoint takes."""
    return frozenset(grant for flow, _ in _flows(spec) for grant in _GRANTS.get(flow, ()))


def token_operations(spec: Spec) -> dict[tuple[str, str], Operation]:
    """The operations that the spec's OAuth2 flows need and that it does not have, by (method, path)."""
    found: dict[tuple[str, str], Operation] = {}
    if spec.token_operation is None:
        for _, flow in _flows(spec):
            for word, method, name in (("tokenUrl", "POST", "token"), ("authorizationUrl", "GET", "authorize")):
                if isinstance(flow.get(word), str):
                    path = urlsplit(flow[word]).path.rstrip("/") or _USUAL[word]
                    path = path if path.startswith("/") else f"/{path}"
                    if spec.match(method, path)[0] is None:
                        found.setdefault((method, path), _operation(spec, name, method, path))
    return dict(sorted(found.items(), key=lambda item: item[0][0] != "POST"))


def _flows(spec: Spec) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for scheme in spec.security_schemes.values():
        if scheme.get("type") == "oauth2":
            flows = scheme.get("flows")
            flows = flows if isinstance(flows, Mapping) else {scheme.get("flow"): scheme}
            yield from ((name, flow) for name, flow in flows.items() if isinstance(flow, Mapping))


def _operation(spec: Spec, name: str, method: str, path: str) -> Operation:
    content = {media: MediaType(media, None, None) for media in (_FORM, JSON)}
    answer = Response({JSON: MediaType(JSON, None, None)}, frozenset())
    return Operation(
        system=spec.name,
        id=f"sandbox_{name}",
        method=method,
        path=path,
        pointer="",
        parameters=(),
        body=RequestBody(required=True, content=content) if method == "POST" else None,
        responses={"200": answer, "default": answer} if method == "POST" else {"302": Response({}, frozenset())},
        success_status=200 if method == "POST" else 302,
        security=(),
        idempotency="none",
        business_key=(),
        expressions=(),
        rate_limit=None,
        events=(),
        purposes=(),
        meaning=Meaning("token", None, None, None, "an OAuth2 flow of the spec names it"),
        accepts_if_match=False,
        requires_if_match=False,
        _document=spec.document,
    )
