"""Who is calling: the security requirements of an operation, checked against the test credentials."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from sandbox.access import needs_client_certificate
from sandbox.credentials import PRINCIPALS, Credential, kind_of
from sandbox.exchange import ANONYMOUS, Exchange
from sandbox.model import Problem
from sandbox.spec import Operation, Spec


class Guard:
    """Checks the callers of one system.

    Args:
        access: The credentials of all systems.
    """

    def __init__(self, spec: Spec, access: Iterable[Credential]) -> None:
        self._spec = spec
        self._certified = needs_client_certificate(spec)
        self._known: dict[tuple[str, ...], str] = {}
        self._clients: dict[tuple[str, str], str] = {}
        self._users: dict[tuple[str, str], str] = {}
        for credential in access:
            if credential.system == spec.name:
                if credential.kind == "authorized":
                    self._known[credential.scheme, credential.values["access_token"]] = credential.principal
                else:
                    self._known[credential.scheme, *credential.values.values()] = credential.principal
                if credential.kind == "basic":
                    self._users[credential.values["username"], credential.values["password"]] = credential.principal
                if credential.kind in ("client", "authorized"):
                    self._clients[credential.values["client_id"], credential.values["client_secret"]] = (
                        credential.principal
                    )

    def check(self, exchange: Exchange, operation: Operation) -> None:
        """Name the caller in `exchange.principal`.

        Raises:
            Problem: 401 with `WWW-Authenticate` (RFC 9110, RFC 6750) when no alternative of the requirements is met, or
                a client certificate is needed and was not shown.
        """
        self._check_certificate(exchange)
        if not operation.security:
            return
        reason = "invalid_request"
        for requirement in operation.security:
            principals = []
            for scheme in requirement:
                principal, shown = self._principal(exchange, scheme, self._spec.security_schemes.get(scheme, {}))
                principals.append(principal)
                if shown:
                    reason = "invalid_token"
            if principals and all(principals):
                exchange.principal = next((one for one in principals if one != ANONYMOUS), None) or ANONYMOUS
                return
        if {} in operation.security:
            return
        raise unauthorized(self._spec, operation, reason)

    def _check_certificate(self, exchange: Exchange) -> None:
        shown = None if exchange.connection is None else exchange.connection.certified
        if self._certified and shown is False:
            raise Problem(
                401,
                f"{self._spec.title} asks for a client certificate, and none was shown",
                type="client-certificate",
                headers={"WWW-Authenticate": f'Certificate realm="{self._spec.name}"'},
            )

    def client(self, exchange: Exchange) -> str:
        """The principal that asks for a token, by HTTP Basic or in the form (RFC 6749, section 2.3.1).

        Raises:
            Problem: 401 `invalid_client`.
        """
        user, secret = _basic(exchange.header("authorization")) or ("", "")
        form: Mapping[str, Any] = exchange.body if isinstance(exchange.body, dict) else {}
        pair = (user or str(form.get("client_id", "")), secret or str(form.get("client_secret", "")))
        principal = self._clients.get(pair)
        if principal is None:
            raise Problem(
                401,
                "client_id and client_secret do not belong to a client",
                type="invalid-client",
                headers={"WWW-Authenticate": f'Basic realm="{self._spec.name}"'},
                error="invalid_client",
            )
        return principal

    def owner(self, client_id: str) -> str:
        """The principal of a client that sends a user for a token; the first where the client is not known."""
        known = (principal for (client, _), principal in self._clients.items() if client == client_id)
        return next(known, PRINCIPALS[0])

    def user(self, exchange: Exchange) -> str:
        """The principal whose name and password are in the form (RFC 6749, section 4.3); any, where no scheme has one.

        Raises:
            Problem: 400 `invalid_grant`.
        """
        form: Mapping[str, Any] = exchange.body if isinstance(exchange.body, dict) else {}
        pair = (str(form.get("username", "")), str(form.get("password", "")))
        principal = self._users.get(pair) if self._users else next(iter(self._clients.values()), ANONYMOUS)
        if principal is None or not pair[0]:
            what = "username and password belong to nobody"
            raise Problem(400, what, type="invalid-grant", error="invalid_grant")
        return principal

    def _principal(self, exchange: Exchange, name: str, scheme: Mapping[str, Any]) -> tuple[str | None, bool]:
        """Who shows this credential, and whether one was shown at all."""
        kind = kind_of(scheme)
        if not kind:
            # A scheme that is not declared, or that no header can satisfy, asks for nothing here.
            return ANONYMOUS, False
        if kind == "api_key":
            value = _api_key(exchange, scheme)
            if value is None:
                return None, False
            # In `Authorization` a word such as `Token` or `Bearer` may stand before the key.
            return self._known.get((name, value)) or self._known.get((name, value.rpartition(" ")[2])), True
        authorization = exchange.header("authorization")
        if kind == "basic":
            pair = _basic(authorization)
            return (None, authorization is not None) if pair is None else (self._known.get((name, *pair)), True)
        word, _, token = (authorization or "").partition(" ")
        if word.lower() != "bearer" or not token.strip():
            return None, authorization is not None
        token = token.strip()
        if kind == "bearer" or (name, token) in self._known:
            return self._known.get((name, token)), True
        issued = exchange.world.tokens.get(token)
        if issued is None or issued.system != self._spec.name or issued.expires <= exchange.world.clock.now():
            return None, True
        return issued.principal, True


def unauthorized(spec: Spec, operation: Operation, reason: str = "invalid_token") -> Problem:
    """The 401 of an operation, with the challenge of its first security scheme (RFC 9110, RFC 6750).

    Args:
        reason: `invalid_request` where nothing was shown, `invalid_token` where what was shown is not valid (any more).
    """
    name, scheme = next(
        ((name, spec.security_schemes[name]) for requirement in operation.security for name in requirement),
        ("this operation", {"type": "http", "scheme": "basic" if operation.meaning.action == "token" else "bearer"}),
    )
    kind, realm = kind_of(scheme), spec.name
    if kind == "api_key":
        challenge = f'ApiKey realm="{realm}", in="{scheme["in"]}", name="{scheme["name"]}"'
    elif kind == "basic":
        challenge = f'Basic realm="{realm}", charset="UTF-8"'
    else:
        challenge = f'Bearer realm="{realm}"' + (f', error="{reason}"' if reason == "invalid_token" else "")
    said = "is missing" if reason == "invalid_request" else "is not valid, or no longer"
    return Problem(
        401, f"the credential for {name} {said}", type="unauthorized", headers={"WWW-Authenticate": challenge}
    )


def _api_key(exchange: Exchange, scheme: Mapping[str, Any]) -> str | None:
    name = scheme["name"]
    if scheme["in"] == "header":
        return exchange.header(name.lower())
    if scheme["in"] == "query":
        return dict(parse_qsl(exchange.query)).get(name)
    for pair in (exchange.header("cookie") or "").split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value
    return None


def _basic(authorization: str | None) -> tuple[str, str] | None:
    word, _, encoded = (authorization or "").partition(" ")
    if word.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
