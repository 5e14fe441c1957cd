"""Who may use the control API: whoever has its token; without one, only programs of this machine.

On loopback no token is asked for, so a web page must be kept from reaching it through a visitor's browser: by a name
that it lets point to 127.0.0.1 (DNS rebinding; its requests carry that name as `Host`), or by a request to another site
(CSRF; browsers add `Origin`).
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlsplit

from sandbox.model import Problem

_ROOT: Final = "/_sandbox/"
_DESCRIPTION: Final = (f"{_ROOT}ui", f"{_ROOT}openapi.")
_READING: Final = frozenset({"GET", "HEAD"})


def is_loopback(host: str) -> bool:
    """Whether a name or an address can only mean this machine."""
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that cannot be guessed; unlike everything else here it does not follow from the seed."""
    return secrets.token_urlsafe(24)


class ControlAccess:
    """The rule for requests below `/_sandbox`.

    Args:
        token: Asked for as `Authorization: Bearer TOKEN` (RFC 6750); None asks for none.
        hosts: Names besides loopback's own that a `Host` header may have where no token is asked for.
    """

    def __init__(self, token: str | None = None, hosts: Collection[str] = ()) -> None:
        self._token = token
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, scope: dict[str, Any]) -> None:
        """Let a request pass.

        Raises:
            Problem: 401 with `WWW-Authenticate` without the token, 403 for what looks like a web page's doing.
        """
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._token is None:
            self._check_origin(headers)
        elif not _describes(scope):
            self._check_token(headers.get(b"authorization"), self._token)

    def _check_token(self, authorization: str | None, token: str) -> None:
        word, _, shown = (authorization or "").partition(" ")
        if word.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode()):
            return
        error = ', error="invalid_token"' if authorization is not None else ""
        raise Problem(
            401,
            "the control token is missing or wrong; `sandbox up` printed it: send it as Authorization: Bearer TOKEN",
            type="control-token",
            headers={"WWW-Authenticate": f'Bearer realm="sandbox control"{error}'},
        )

    def _check_origin(self, headers: dict[bytes, str]) -> None:
        host, origin = headers.get(b"host"), headers.get(b"origin")
        if host is not None and not self._knows(host):
            raise Problem(
                403,
                f"the control API is not known as {host[:100]!r}; start with --allow-host if that is this machine",
                type="foreign-host",
            )
        if origin is not None and (host is None or origin.lower().partition("://")[2] != host.lower()):
            raise Problem(403, f"a page of {origin[:100]!r} may not use the control API", type="foreign-origin")

    def _knows(self, authority: str) -> bool:
        try:
            name = urlsplit(f"//{authority}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self._hosts


def _describes(scope: dict[str, Any]) -> bool:
    """Whether a request asks for the API's description, which holds no secret; a browser cannot send the token."""
    return scope["method"] in _READING and str(scope["path"]).startswith(_DESCRIPTION)
