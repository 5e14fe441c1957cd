"""Test credentials: derived from the seed, so that they can be pasted before anything runs.

Every security scheme of every system gets credentials for two principals: `integrator`, whose values `sandbox env`
prints, and `other`, so that a test can ask for somebody else's data.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.signing import PREFIX

PRINCIPALS: Final = ("integrator", "other")


@dataclass(frozen=True, slots=True)
class Credential:
    """What one principal shows to one security scheme of one system.

    Attributes:
        kind: `api_key`, `bearer`, `basic`, `client` (OAuth2 client credentials) or `authorized` (OAuth2 by the leave of
            a user, whose token is known beforehand).
        header: Lower-case name of the header that carries it; empty where it travels elsewhere.
        values: Field name to value, e.g. `{"client_id": …, "client_secret": …}`.
        label: What distinguishes it by name from another of its kind at the same system; mostly nothing.
    """

    system: str
    scheme: str
    kind: str
    principal: str
    header: str
    values: Mapping[str, str]
    label: str = ""

    @property
    def named(self) -> dict[str, str]:
        """The values by names that no other credential of the system has."""
        return {f"{self.label}{field}": value for field, value in self.values.items()}

    def environment(self) -> dict[str, str]:
        """The values under the names that a program's environment gives them, e.g. `CRM_CLIENT_ID`."""
        prefix = self.system.upper().replace("-", "_")
        return {f"{prefix}_{field.upper()}": value for field, value in self.named.items()}


_FIELDS: Final = {
    "api_key": ("api_key",),
    "bearer": ("token",),
    "basic": ("username", "password"),
    "client": ("client_id", "client_secret"),
    "authorized": ("client_id", "client_secret", "access_token"),
}

_LENGTHS: Final = {"client_id": 12, "username": 12}


def kind_of(scheme: Mapping[str, Any]) -> str:
    """The kind of credential that an OpenAPI security scheme asks for; empty where a header cannot satisfy it."""
    match scheme.get("type"):
        case "apiKey" if scheme.get("name") and scheme.get("in"):
            return "api_key"
        case "basic":
            return "basic"
        case "http":
            return "basic" if str(scheme.get("scheme", "")).lower() == "basic" else "bearer"
        case "openIdConnect":
            return "authorized"
        case "oauth2":
            flows = scheme.get("flows")
            named = flows.keys() if isinstance(flows, Mapping) else {scheme.get("flow")}
            return "client" if not flows or {"clientCredentials", "application"} & set(named) else "authorized"
    return ""


def derive(seed: int, *parts: str, length: int = 32) -> str:
    """A value that depends on nothing but the seed and its name."""
    digest = hmac.digest(str(seed).encode(), "\n".join(parts).encode(), hashlib.sha256)
    return base64.b32encode(digest).decode().lower().rstrip("=")[:length]


def credentials(seed: int, system: str, schemes: Mapping[str, Mapping[str, Any]]) -> list[Credential]:
    """All credentials of a system."""
    found: list[Credential] = []
    for name, scheme in schemes.items():
        kind = kind_of(scheme)
        if not kind:
            continue
        # Two keys of one system, as for an application and for its user, need two names.
        taken = {field for credential in found for field in credential.named}
        label = f"{re.sub('[^a-z0-9]+', '_', name.lower())}_" if taken & set(_FIELDS[kind]) else ""
        for principal in PRINCIPALS:
            values = {
                field: f"{system}_{derive(seed, system, name, principal, field, length=_LENGTHS.get(field, 32))}"
                for field in _FIELDS[kind]
            }
            found.append(Credential(system, name, kind, principal, _header_of(scheme), values, label))
    return found


def webhook_secret(seed: int) -> str:
    """The secret of a subscription that names none (`whsec_` and base64 of 24 bytes, Standard Webhooks)."""
    key = hmac.digest(str(seed).encode(), b"webhook secret", hashlib.sha256)[:24]
    return PREFIX + base64.b64encode(key).decode()


def secrets_of(found: Iterable[Credential]) -> dict[str, str]:
    """Each secret value with the system whose it is; names such as a client id are no secrets."""
    secrets = {}
    for credential in found:
        for field, value in credential.values.items():
            if field not in ("client_id", "username"):
                secrets[value] = credential.system
        if credential.kind in ("basic", "client"):
            # A name with its secret as HTTP Basic sends them (RFC 7617).
            pair = ":".join(credential.values.values())
            secrets[base64.b64encode(pair.encode()).decode()] = credential.system
    return secrets


def headers_of(found: Iterable[Credential]) -> frozenset[str]:
    """The lower-case names of all headers that carry a credential."""
    return frozenset(credential.header for credential in found if credential.header)


def _header_of(scheme: Mapping[str, Any]) -> str:
    if kind_of(scheme) != "api_key":
        return "authorization"
    return str(scheme["name"]).lower() if scheme["in"] == "header" else ""
