"""`sandbox fault`: what goes wrong, and where."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from sandbox.catalog import Catalog
from sandbox.cli import complete, output
from sandbox.cli.client import Client
from sandbox.cli.options import example, json_option, project_option, url_option, verbosity_options, world_option
from sandbox.errors import SandboxError
from sandbox.faults.registry import address
from sandbox.layout import load_specs, project_root, reference_root
from sandbox.model import NO_KEY
from sandbox.plan_document import SCHEMA
from sandbox.plan_file import find_plan, load_plan, parse_value, profiles

COLUMNS = ("ID", "WHERE", "KEY", "N", "FAULT", "EFFECT", "WITH", "LIMITS", "FIRED")


@click.group(
    epilog=example(
        "sandbox fault add accounting.create_invoice timeout --effect applied",
        "sandbox fault add order.paid duplicate --with after=3s",
        "sandbox fault list",
    )
)
def fault() -> None:
    """Arm faults in a running sandbox, list and remove them."""


@fault.command(
    epilog=example(
        "sandbox fault add accounting.create_invoice timeout --effect applied --occurrence 1",
        "sandbox fault add order.paid duplicate --with after=3s --key 2025-4471",
        "sandbox fault add accounting outage --with for=10m",
        "sandbox fault add shop.get_order server_error --occurrence any --count 3 --ttl 10m",
    )
)
@click.argument("point", shell_complete=complete.points)
@click.argument("name", metavar="FAULT", shell_complete=complete.faults)
@click.option("--effect", type=click.Choice(["none", "applied"]), help="Was the work done before the caller saw it?")
@click.option("--occurrence", default="1", show_default=True, metavar="N", help="The n-th arrival, 1-2, or any.")
@click.option("--key", metavar="KEY", help="Business key, such as an order number; left out, each, counted by itself.")
@click.option("--subscriber", metavar="ID", help="Of a delivery: the webhook subscription; left out, each.")
@click.option("--with", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the fault; repeatable.")
@click.option("--match-body", multiple=True, metavar="POINTER=VALUE", help="Only where this stands in the body.")
@click.option("--match-header", multiple=True, metavar="NAME=VALUE", help="Only where this header was sent.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="Fires so many times at most.")
@click.option("--ttl", metavar="SPAN", help="Lifts by itself after this span of the world's clock, such as 10m.")
@json_option
@url_option
@world_option
@verbosity_options
def add(
    point: str,
    name: str,
    effect: str | None,
    occurrence: str,
    key: str | None,
    subscriber: str | None,
    parameters: tuple[str, ...],
    match_body: tuple[str, ...],
    match_header: tuple[str, ...],
    count: int | None,
    ttl: str | None,
    as_json: bool,
    url: str,
    world: str,
) -> None:
    """Arm one FAULT at a POINT.

    POINT is SYSTEM.OPERATION, a whole SYSTEM, or the type of an EVENT.
    """
    body = {pointer: parse_value(value) for pointer, value in _pairs(match_body, "--match-body")}
    header = dict(_pairs(match_header, "--match-header"))
    with Client(url, world) as client:
        document = {
            "on": address(point, name, client.systems())
            | _given({"key": key, "occurrence": occurrence, "subscriber": subscriber}),
            "inject": name,
            **_given({"effect": effect, "count": count, "ttl": ttl}),
            **_filled({"with": {option: parse_value(value) for option, value in _pairs(parameters, "--with")}}),
            **_filled({"match": _filled({"body": body, "header": header})}),
        }
        document["on"]["occurrence"] = int(occurrence) if occurrence.isdecimal() else occurrence
        armed = client.add_fault(document)
        passed = _passed(client, armed["on"])
    if as_json:
        output.print_json(armed)
    else:
        output.out().print(output.table(COLUMNS, [_row(armed)]))
    if passed:
        output.note(passed)


def _passed(client: Client, on: dict[str, Any]) -> str:
    """What to say of a fault on arrivals that have been: it strikes nothing any more; empty where it may."""
    last = str(on["occurrence"]).rpartition("-")[2]
    if "operation" not in on or not last.isdecimal():
        return ""
    key = on.get("key", NO_KEY)
    seen = sum(one["kind"] == "call" for one in client.journal(system=on["system"], operation=on["operation"], key=key))
    if seen < int(last):
        return ""
    about = "about no business key" if key == NO_KEY else f"about {key}"
    others = "" if key != NO_KEY else " of these"
    return (
        f"{on['operation']} has been called {seen} times already {about}, so arrival {last}{others} is past: "
        f"arm it with --occurrence any, or --occurrence {seen + 1}"
    )


@fault.command(name="list", epilog=example("sandbox fault list", "sandbox fault list --json | jq .faults"))
@json_option
@url_option
@world_option
@verbosity_options
def list_faults(as_json: bool, url: str, world: str) -> None:
    """List the armed faults, in the order in which they are tried, and how often each has fired."""
    with Client(url, world) as client:
        armed = client.faults()
    if as_json:
        output.print_json(armed)
        return
    rows = [_row(one) for one in (*armed["faults"], *armed["weather"])]
    if rows:
        output.out().print(output.table(COLUMNS, rows))
    else:
        output.note("no fault is armed; arm one with: sandbox fault add accounting.create_invoice timeout")


@fault.command(epilog=example("sandbox fault remove f1"))
@click.argument("id")
@url_option
@world_option
@verbosity_options
def remove(id: str, url: str, world: str) -> None:  # noqa: A002 - the argument's name in the help
    """Disarm the fault with this ID, as `fault list` shows it."""
    with Client(url, world) as client:
        client.remove_fault(id)


@fault.command(epilog=example("sandbox fault clear"))
@url_option
@world_option
@verbosity_options
def clear(url: str, world: str) -> None:
    """Disarm all faults, weather included."""
    with Client(url, world) as client:
        client.clear_faults()


@fault.command(epilog=example("sandbox fault apply flaky", "sandbox fault apply plans/lost-answer.yaml"))
@click.argument("plan")
@json_option
@url_option
@world_option
@project_option
@verbosity_options
def apply(plan: str, as_json: bool, url: str, world: str, project_path: Path | None) -> None:
    """Arm the faults of a PLAN file or profile in place of those armed now."""
    root = project_root(project_path)
    with Client(url, world) as client:
        served = client.systems()
        specs = load_specs(root)
        # Of systems that are served from elsewhere, the sandbox itself knows what a plan may name.
        catalog = Catalog(specs if set(served) <= specs.keys() else {})
        armed = client.put_plan(load_plan(find_plan(plan, [root, reference_root()], served), catalog).to_json())
    if as_json:
        output.print_json(armed)
    else:
        output.out().print(output.table(COLUMNS, [_row(one) for one in (*armed["faults"], *armed["weather"])]))


@fault.command(name="profiles", epilog=example("sandbox fault profiles", "sandbox up --faults flaky"))
@json_option
@project_option
@verbosity_options
def list_profiles(as_json: bool, project_path: Path | None) -> None:
    """List the profiles: plans with a name, for `up --faults` and `fault apply`."""
    root = project_root(project_path)
    catalog = Catalog(load_specs(root))
    found = profiles(reference_root(), catalog.specs) | profiles(root)
    rows = []
    for name, path in found.items():
        try:
            described = " ".join((load_plan(path, catalog).description or "").split())
        except SandboxError as error:
            described = f"does not fit this project: {error.message}"
        rows.append((name, described, str(path)))
    if as_json:
        output.print_json([{"name": name, "description": text, "path": path} for name, text, path in rows])
    elif rows:
        output.out().print(output.table(("PROFILE", "WHAT HAPPENS"), [row[:2] for row in rows]))


@fault.command(epilog=example("sandbox fault schema > plan.schema.json"))
def schema() -> None:
    """Print the JSON Schema of plan files, by which editors complete and check them."""
    click.echo(SCHEMA.read_text(encoding="utf-8"), nl=False)


def _pairs(given: Iterable[str], option: str) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not equals:
            raise click.BadParameter(f"{name!r} has no value; write it as NAME=VALUE", param_hint=option)
    return [(name, value) for name, _, value in pairs]


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _row(armed: dict[str, Any]) -> tuple[object, ...]:
    on = armed["on"]
    where = on.get("event") or ".".join(_given({"s": on.get("system"), "o": on.get("operation")}).values())
    limits = [f"{name} {armed[name]}" for name in ("rate", "count", "ttl") if name in armed]
    limits += [f"{name} {_told(wanted)}" for name, wanted in armed.get("match", {}).items()]
    if "subscriber" in on:
        limits.append(f"subscriber {on['subscriber']}")
    return (
        armed["id"],
        where,
        on.get("key", "each"),
        on["occurrence"],
        armed["inject"],
        "" if "event" in on else armed.get("effect", "none"),
        _told(armed.get("with", {})),
        ", ".join(limits),
        armed["fired"],
    )


def _told(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {output.cell(value)}" for name, value in values.items())
