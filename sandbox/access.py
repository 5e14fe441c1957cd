"""What a program needs to reach the systems: URLs and credentials. Pure: stable for a seed and an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.credentials import PRINCIPALS, Credential, credentials, webhook_secret
from sandbox.model import DEFAULT_WORLD
from sandbox.spec import Spec
from sandbox.tls_files import TlsFiles
from sandbox.tokens import paths

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a user may listen on
# What programs look at for certificates to trust: OpenSSL's own variable, Python's requests, Node.
_TRUST: Final = ("SANDBOX_CA_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")

_FILES: Final = ("client_cert", "client_key")


def base_url(host: str, port: int, tls: bool) -> str:
    """Where a server that listens on `host` is reached from the same machine."""
    shown = _ANY.get(host, host)
    return f"{'https' if tls else 'http'}://{f'[{shown}]' if ':' in shown else shown}:{port}"


def needs_client_certificate(spec: Spec) -> bool:
    """Whether callers must show a client certificate where there is TLS (`x-client-certificate: required`)."""
    return bool(spec.document.get("x-client-certificate") == "required")


@dataclass(frozen=True, slots=True)
class Access:
    """URLs and credentials of all systems in one world.

    Attributes:
        systems: By name: `url`, `ui`, the credentials' fields, and a client certificate's files where one is needed.
        control: URL of the control API.
        tls: Where the certificates lie; None without TLS.
    """

    url: str
    world: str
    systems: dict[str, dict[str, str]]
    control: str
    webhook_secret: str
    credentials: tuple[Credential, ...]
    tls: TlsFiles | None = None

    def environment(self) -> dict[str, str]:
        """The same under the names that programs read from their environment."""
        found: dict[str, str] = {}
        for name, system in self.systems.items():
            prefix = name.upper().replace("-", "_")
            found[f"{prefix}_URL"] = system["url"]
            also = (field for field in system if field in _FILES or field.endswith("_url"))
            found |= {f"{prefix}_{field.upper()}": system[field] for field in also}
            for credential in self.credentials:
                if credential.system == name and credential.principal == PRINCIPALS[0]:
                    found |= credential.environment()
        trust = {} if self.tls is None else dict.fromkeys(_TRUST, str(self.tls.ca))
        return found | {"WEBHOOK_SECRET": self.webhook_secret} | trust

    def to_json(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "world": self.world,
            "systems": self.systems,
            "control": self.control,
            "webhook_secret": self.webhook_secret,
            "ca_file": None if self.tls is None else str(self.tls.ca),
        }


def schemes_in_use(spec: Spec) -> dict[str, Mapping[str, Any]]:
    """The security schemes, those that operations ask for most first: theirs are the plainest names."""
    asked = Counter(name for one in spec.operations.values() for demand in one.security for name in demand)
    return dict(sorted(spec.security_schemes.items(), key=lambda item: -asked[item[0]]))


def all_credentials(specs: Iterable[Spec], seed: int) -> list[Credential]:
    """The credentials of every principal at every system."""
    return [found for spec in specs for found in credentials(seed, spec.name, schemes_in_use(spec))]


def access(
    specs: Iterable[Spec], url: str, seed: int, world: str = DEFAULT_WORLD, tls: TlsFiles | None = None
) -> Access:
    """What a program needs to reach the systems served at `url`, with the certificates where it is an https one."""
    specs = list(specs)
    found = all_credentials(specs, seed)
    prefix = url if world == DEFAULT_WORLD else f"{url}/w/{world}"
    systems = {}
    for spec in specs:
        mine = [c for c in found if c.system == spec.name and c.principal == PRINCIPALS[0]]
        values = {field: value for credential in mine for field, value in credential.named.items()}
        if tls is not None and needs_client_certificate(spec):
            values |= dict(zip(_FILES, (str(tls.client_cert), str(tls.client_key)), strict=True))
        values |= {field: f"{prefix}/{spec.name}{path}" for field, path in paths(spec).items()}
        systems[spec.name] = {"url": f"{prefix}/{spec.name}", "ui": f"{prefix}/{spec.name}/ui/", **values}
    return Access(url, world, systems, f"{url}/_sandbox", webhook_secret(seed), tuple(found), tls)
