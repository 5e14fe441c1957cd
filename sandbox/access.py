"""What a program needs to reach the systems: URLs and credentials. Pure: stable for a seed and an address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.credentials import PRINCIPALS, Credential, credentials, webhook_secret
from sandbox.model import DEFAULT_WORLD
from sandbox.spec import Spec


@dataclass(frozen=True, slots=True)
class Access:
    """URLs and credentials of all systems in one world.

    Attributes:
        systems: By name: `url`, `ui` and the credentials' fields.
        control: URL of the control API.
    """

    url: str
    world: str
    systems: dict[str, dict[str, str]]
    control: str
    webhook_secret: str
    credentials: tuple[Credential, ...]

    def environment(self) -> dict[str, str]:
        """The same under the names that programs read from their environment."""
        found: dict[str, str] = {}
        for name, system in self.systems.items():
            found[f"{name.upper().replace('-', '_')}_URL"] = system["url"]
            for credential in self.credentials:
                if credential.system == name and credential.principal == PRINCIPALS[0]:
                    found |= credential.environment()
        return found | {"WEBHOOK_SECRET": self.webhook_secret}

    def to_json(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "world": self.world,
            "systems": self.systems,
            "control": self.control,
            "webhook_secret": self.webhook_secret,
        }


def all_credentials(specs: Iterable[Spec], seed: int) -> list[Credential]:
    """The credentials of every principal at every system."""
    return [found for spec in specs for found in credentials(seed, spec.name, spec.security_schemes)]


def access(specs: Iterable[Spec], url: str, seed: int, world: str = DEFAULT_WORLD) -> Access:
    """What a program needs to reach the systems served at `url`."""
    specs = list(specs)
    found = all_credentials(specs, seed)
    prefix = url if world == DEFAULT_WORLD else f"{url}/w/{world}"
    systems = {}
    for spec in specs:
        mine = [c for c in found if c.system == spec.name and c.principal == PRINCIPALS[0]]
        values = {field: value for credential in mine for field, value in credential.values.items()}
        systems[spec.name] = {"url": f"{prefix}/{spec.name}", "ui": f"{prefix}/{spec.name}/ui/", **values}
    return Access(url, world, systems, f"{url}/_sandbox", webhook_secret(seed), tuple(found))
