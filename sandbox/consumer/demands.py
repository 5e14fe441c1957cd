"""What an operation wants of those who call it: credentials, as they show on the wire (OpenAPI 3.0.3, "Security")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.consumer.shape import essence
from sandbox.spec import Operation, Spec

# One way to be let in: by kind of credential, the scheme and its scopes.
Demand = dict[str, tuple[Any, frozenset[str]]]


def demands_of(spec: Spec, operation: Operation) -> list[Demand]:
    """The ways to be let in, one of which will do; an empty one lets everybody in."""
    return [_demand(spec, alternative) for alternative in operation.security] or [{}]


def is_enough(have: Demand, wanted: Demand) -> bool:
    """Whether whoever keeps the one demand keeps the other."""
    return all(kind in have and scopes <= have[kind][1] for kind, (_, scopes) in wanted.items())


def changed_schemes(old: Spec, before: Operation, new: Spec, after: Operation) -> list[str]:
    """The schemes that mean something else under their old names; none where an operation names others."""
    if [set(one) for one in before.security] != [set(one) for one in after.security]:
        return []
    names = dict.fromkeys(name for one in before.security for name in one)
    return [name for name in names if _scheme(old, name) != _scheme(new, name)]


def told(demands: Sequence[Demand]) -> str:
    """The demands in words."""
    return " or ".join(" and ".join(_credential(*wanted) for wanted in demand.values()) or "none" for demand in demands)


def _demand(spec: Spec, alternative: Mapping[str, Sequence[str]]) -> Demand:
    schemes = ((_scheme(spec, name), frozenset(scopes)) for name, scopes in alternative.items())
    return {repr(scheme): (scheme, scopes) for scheme, scopes in schemes}


def _scheme(spec: Spec, name: str) -> Any:
    """A scheme without remarks; its scopes are listed where it is demanded."""
    written = spec.security_schemes[name]
    scheme = {word: value for word, value in written.items() if word != "bearerFormat"}
    if isinstance(flows := scheme.get("flows"), Mapping):
        scheme["flows"] = {
            name: {word: url for word, url in flow.items() if word != "scopes"} for name, flow in flows.items()
        }
    return essence(spec.document, scheme)


def _credential(scheme: Mapping[str, Any], scopes: frozenset[str]) -> str:
    kind = str(scheme.get("type"))
    names = {
        "apiKey": f"an API key in the {scheme.get('in')} {scheme.get('name')}",
        "http": f"HTTP {scheme.get('scheme')}",
        "oauth2": "OAuth2",
    }
    name = names.get(kind, kind)
    return f"{name} with {' '.join(sorted(scopes))}" if scopes else name
