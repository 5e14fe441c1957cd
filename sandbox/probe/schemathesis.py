"""Schemathesis on one provider, as a process of its own: all checks, all phases, the same cases each time."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.credentials import Credential, kind_of
from sandbox.drafting import BODILESS, IGNORED_HEADERS
from sandbox.pointer import resolve
from sandbox.probe.provider import SAFE, Provider
from sandbox.spec import Spec
from sandbox.tokens import token_operations

LONGEST: Final = 4 * 3600
_TABLES: Final = "provider"
_OUTPUT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found.

    Attributes:
        report: As Schemathesis wrote it; empty when it could not run.
        exempt: By operation, the kinds of refusals of valid requests that are business.
        met: Those of them that were met, as (operation, kind).
        output: What Schemathesis said; its last part.
    """

    system: str
    report: dict[str, Any]
    exempt: frozenset[tuple[str, str]]
    met: frozenset[tuple[str, str]]
    output: str
    code: int

    @property
    def cases(self) -> int:
        """How many requests were generated."""
        return int(self.report["test_cases"]["generated"]) if self.report else 0

    def __str__(self) -> str:
        tested = self.report["operations"]["tested"] if self.report else 0
        failures = self.report["test_cases"]["unique_failures"] if self.report else "unknown"
        seconds = self.report.get("running_time") if self.report else None
        rate = f" ({self.cases / seconds:.0f} a second)" if seconds else ""
        return (
            f"schemathesis on {self.system}: {tested} operations, {self.cases} requests{rate}, {failures} failures; "
            f"{len(self.exempt)} exemptions, {len(self.met)} of them met"
        )


def exemptions(contracts: Path, system: str) -> dict[str, dict[str, str]]:
    """By operation and problem type, the reason why a valid request may be refused."""
    path = contracts / _TABLES / "exemptions.yaml"
    found: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else {}
    return found.get(system) or {}


def run_schemathesis(
    provider: Provider, contracts: Path, folder: Path, examples: int, options: Sequence[str] = ()
) -> Result:
    """Run all checks of Schemathesis and ours against each operation of a provider.

    Args:
        contracts: The folder with the tables `provider/schemathesis.toml` and `provider/exemptions.yaml`.
        folder: For what it writes.
        examples: How many examples of each operation it tries at most.
        options: Further options of `schemathesis run`; they win over ours.
    """
    tables = contracts / _TABLES
    exempt = exemptions(contracts, provider.name)
    report, met = folder / "report.json", folder / "met"
    met.touch()
    config, environment = folder / "schemathesis.toml", _environment(provider)
    config.write_text(_config(provider, tables), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
        *(
            str(_described(provider.spec, folder)),
            "--url",
            provider.url,
            "--checks",
            "all",
            "--max-examples",
            str(examples),
        ),
        *("--continue-on-failure", "--report", "json", "--report-json-path", str(report)),
        *([] if provider.writable else [part for method in sorted(SAFE) for part in ("--include-method", method)]),
        *options,
    ]
    told = {"EXEMPTIONS_MET": str(met), "EXEMPTIONS": json.dumps({name: list(kinds) for name, kinds in exempt.items()})}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment, **told},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=LONGEST,
    )
    return Result(
        provider.name,
        json.loads(report.read_text("utf-8")) if report.is_file() else {},
        frozenset((operation, kind) for operation, kinds in exempt.items() for kind in kinds),
        frozenset((operation, kind) for operation, kind in map(str.split, met.read_text("utf-8").splitlines())),
        done.stdout[-_OUTPUT:],
        done.returncode,
    )


def _described(spec: Spec, folder: Path) -> Path:
    """The file that says what is asked: the spec's own, or where it has defects, what is made of them.

    What OpenAPI 3.0.3 ("Parameter Object") ignores is left out: header parameters that every request has anyway; and
    the bodies of answers that have none (RFC 9110, section 6.4.1), which are defects.
    """
    document = copy.deepcopy(spec.published(""))
    dropped = 0
    shared = list(document.get("components", {}).get("parameters", {}).items())
    ignored = {f"#/components/parameters/{name}" for name, one in shared if _is_ignored(one)}
    for item in document["paths"].values():
        for owner in (item, *(one for one in item.values() if isinstance(one, dict))):
            kept = [p for p in owner.get("parameters", ()) if not (_is_ignored(p) or p.get("$ref") in ignored)]
            dropped += len(owner.get("parameters", ())) - len(kept)
            if "parameters" in owner:
                owner["parameters"] = kept
            responses = owner.get("responses", {})
            for status in BODILESS & responses.keys():
                described = resolve(document, responses[status])
                responses[status] = {name: said for name, said in described.items() if name != "content"}
    if not spec.defects and not dropped:
        return spec.path.absolute()
    path = folder / "openapi.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _is_ignored(parameter: Mapping[str, Any]) -> bool:
    return parameter.get("in") == "header" and str(parameter.get("name")).lower() in IGNORED_HEADERS


def _environment(provider: Provider) -> dict[str, str]:
    mine = (credential.environment() for credential in provider.credentials("integrator"))
    return {name: value for one in mine for name, value in one.items()}


def _config(provider: Provider, tables: Path) -> str:
    """The project's table with our hooks and with the credentials, which stay in the environment."""
    table = tables / "schemathesis.toml"
    hooks = Path(__file__).with_name("schemathesis_hooks.py")
    lines = [f"hooks = {json.dumps(str(hooks))}", table.read_text("utf-8") if table.is_file() else _USUAL]
    for credential in provider.credentials("integrator"):
        lines += _auth(provider, credential)
    return "\n".join(lines) + "\n"


_USUAL: Final = 'seed = 1\n[generation]\ndatabase = "none"\n[cache]\nenabled = false\n'


def _auth(provider: Provider, credential: Credential) -> list[str]:
    scheme: Mapping[str, Any] = provider.spec.security_schemes.get(credential.scheme, {})
    names = [f"${{{name}}}" for name in credential.environment()]
    section = f"[auth.openapi.{json.dumps(credential.scheme)}]"
    match kind_of(scheme):
        case "api_key":
            return [section, f"api_key = {json.dumps(names[0])}"]
        case "bearer":
            return [section, f"bearer = {json.dumps(names[0])}"]
        case "basic":
            return [section, f"username = {json.dumps(names[0])}", f"password = {json.dumps(names[1])}"]
        case "authorized":
            return [section, f"bearer = {json.dumps(names[2])}"]
    url = scheme.get("flows", {}).get("clientCredentials", {}).get("tokenUrl", "/oauth/token")
    if beside := token_operations(provider.spec):
        url = next(iter(beside.values())).path
    lines = [
        f"[auth.dynamic.openapi.{json.dumps(credential.scheme)}]",
        f"path = {json.dumps(url)}",
        f'payload = {{ grant_type = "client_credentials", client_id = "{names[0]}", client_secret = "{names[1]}" }}',
        'payload_content_type = "application/x-www-form-urlencoded"',
        'extract_selector = "/access_token"',
    ]
    if provider.spec.token_operation is not None:
        # It is open by the specification; with HTTP Basic it is more than a row of refusals.
        lines += [
            "[[operations]]",
            f"include-operation-id = {json.dumps(provider.spec.token_operation)}",
            f'auth = {{ basic = {{ username = "{names[0]}", password = "{names[1]}" }} }}',
        ]
    return lines
