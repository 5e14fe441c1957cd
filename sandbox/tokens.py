"""Token and authorization endpoints that a spec only names by URL: their paths, served below the system's own.

An OAuth2 scheme's `tokenUrl` mostly lies at a host of its own, and is no operation of the document. What is asked of it
(RFC 6749) is asked of us at the same path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from sandbox.inference import Meaning
from sandbox.inference.words import snake
from sandbox.model import JSON
from sandbox.operation import MediaType, Operation, RequestBody, Response
from sandbox.spec import Spec

_FORM: Final = "application/x-www-form-urlencoded"
_USUAL: Final = {"tokenUrl": "/oauth/token", "authorizationUrl": "/oauth/authorize"}
# By flow as OpenAPI names it, the grant types of RFC 6749 that its token endpoint takes.
DISCOVERY: Final = "sandbox_openid"
_OPENID: Final = "/.well-known/openid-configuration"
# What is asked of a server whose document nobody can fetch.
_OF_OPENID: Final[Mapping[str, Mapping[str, str]]] = {
    "authorizationCode": {"tokenUrl": _USUAL["tokenUrl"], "authorizationUrl": _USUAL["authorizationUrl"]},
    "clientCredentials": {"tokenUrl": _USUAL["tokenUrl"]},
}
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
    for name, path in paths(spec).items():
        kind = "openid" if name == "openid_url" else "authorize" if name.endswith("authorize_url") else "token"
        method = "POST" if kind == "token" else "GET"
        found.setdefault((method, path), _operation(spec, kind, method, path))
    return dict(sorted(found.items(), key=lambda item: item[0][0] != "POST"))


def paths(spec: Spec) -> dict[str, str]:
    """The paths of those operations by what they are called: `token_url`, `authorize_url`, `openid_url`.

    Where several flows have endpoints of their own, those of the others bear the flow's name: `password_token_url`.
    """
    found: dict[str, str] = {}
    if spec.token_operation is not None:
        return found
    for flow, endpoints in _flows(spec):
        for word, name in (("tokenUrl", "token_url"), ("authorizationUrl", "authorize_url")):
            if isinstance(endpoints.get(word), str):
                path = urlsplit(endpoints[word]).path.rstrip("/") or _USUAL[word]
                path = path if path.startswith("/") else f"/{path}"
                taken = spec.match("POST" if word == "tokenUrl" else "GET", path)[0] is not None
                if not taken and path not in found.values():
                    found[name if name not in found else f"{snake(flow)}_{name}"] = path
    for scheme in spec.security_schemes.values():
        if scheme.get("type") == "openIdConnect":
            path = urlsplit(str(scheme.get("openIdConnectUrl", ""))).path.rstrip("/") or _OPENID
            found["openid_url"] = path if path.startswith("/") else f"/{path}"
    return found


def _flows(spec: Spec) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for scheme in spec.security_schemes.values():
        if scheme.get("type") == "oauth2":
            flows = scheme.get("flows")
            flows = flows if isinstance(flows, Mapping) else {scheme.get("flow"): scheme}
            yield from ((name, flow) for name, flow in flows.items() if isinstance(flow, Mapping))
        elif scheme.get("type") == "openIdConnect":
            yield from _OF_OPENID.items()


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
        responses={"302": Response({}, frozenset())} if name == "authorize" else {"200": answer, "default": answer},
        success_status=302 if name == "authorize" else 200,
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
