"""What authorization servers answer to a GET: the way back from a user's leave, and their own description."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from sandbox.exchange import Exchange
from sandbox.model import Problem, Reply
from sandbox.tokens import DISCOVERY, grants, paths


def authorize(exchange: Exchange, issue: Callable[[], str], lifetime: float) -> Reply:
    """The answer of an authorization endpoint, or of a discovery document.

    Whoever asks has the user's leave: a code in the query (RFC 6749, section 4.1.2), or, as `response_type=token` asks
    for it, a token in the fragment (section 4.2.2).

    Args:
        issue: Makes an access token.
        lifetime: Of such a token, in seconds.

    Raises:
        Problem: 400 when nobody is named to go back to.
    """
    if exchange.operation is not None and exchange.operation.id == DISCOVERY:
        return Reply(_configuration(exchange))
    asked = exchange.query_parameters
    target = asked.get("redirect_uri", "")
    if not target:
        raise Problem(400, "redirect_uri is missing", type="invalid-request", error="invalid_request")
    state = {"state": asked["state"]} if "state" in asked else {}
    if "token" in asked.get("response_type", "").split():
        told = {"access_token": issue(), "token_type": "Bearer", "expires_in": str(int(lifetime)), **state}
        return Reply(None, 302, {"Location": f"{target.partition('#')[0]}#{urlencode(told)}"})
    code = exchange.world.identifier("code", asked.get("client_id", ""), str(exchange.seq))
    back = urlencode({"code": code, **state})
    return Reply(None, 302, {"Location": f"{target}{'&' if '?' in target else '?'}{back}"})


def _configuration(exchange: Exchange) -> dict[str, Any]:
    """The discovery document (OpenID Connect Discovery 1.0, section 3) of a server that hands out no id tokens."""
    spec, base = exchange.spec, f"{exchange.origin}{exchange.root}"
    known = paths(spec)
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}{known['authorize_url']}",
        "token_endpoint": f"{base}{known['token_url']}",
        "response_types_supported": ["code", "token"],
        "grant_types_supported": sorted({*grants(spec), "implicit"}),
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
