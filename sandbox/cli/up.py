"""`sandbox up`: serve the systems until Ctrl-C."""

from __future__ import annotations

import contextlib
import gc
import importlib
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import click

from sandbox.catalog import Catalog
from sandbox.cli import output
from sandbox.cli.options import (
    DEFAULT_URL,
    Command,
    example,
    host_option,
    json_option,
    port_option,
    seed_option,
    systems_options,
    tls_options,
    token_option,
    verbosity,
    verbosity_options,
)
from sandbox.garbage import collect_seldom
from sandbox.layout import Sources, reference_root
from sandbox.limits import LARGEST_BODY, MOST_ENTRIES, MOST_WORLDS, Limits
from sandbox.plan import Plan
from sandbox.plan_file import find_plan, load_plan
from sandbox.pointer import split
from sandbox.project import Project
from sandbox.record.recording import Recording
from sandbox.server import Server
from sandbox.spec import Spec
from sandbox.tls_files import TlsFiles
from sandbox.workers import MOST_WORKERS

if sys.platform != "win32":
    import resource

_CONNECTIONS: Final = 65_536
# With these, the reference integrator and its order have a place to go.
_OURS: Final = frozenset({"shop", "crm", "accounting", "shipping"})


def _bound(what: str, usual: int, meaning: str) -> Callable[[Command], Command]:
    return click.option(
        f"--max-{what}", type=click.IntRange(1), default=usual, show_default=True, metavar="N", help=meaning
    )


@click.command(
    epilog=example(
        "sandbox up",
        "sandbox up --spec shop=./bigshop.yaml --spec ./carriers",
        "sandbox up --spec shop=./bigshop.yaml --watch",
        "sandbox up --port 0 --json",
        "sandbox up --db shop.db",
        "sandbox up --workers 2",
        "sandbox up --faults flaky",
        "sandbox up --recording monday.jsonl",
        "sandbox up --tls",
        "sandbox up --host 0.0.0.0 --allow-webhook-host 172.16.0.0/12",
    )
)
@port_option()
@host_option
@seed_option
@click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep everything in this SQLite file, across restarts; else in memory.",
)
@click.option(
    "--faults",
    metavar="PLAN|PROFILE",
    help="Arm a plan file or a profile in each world when it is made or reset; see: sandbox fault profiles.",
)
@click.option(
    "--recording",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Begin each world with the records that a file of `sandbox record` shows.",
)
@tls_options
@token_option
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Another name under which the control API may be called, such as a container's; repeatable.",
)
@click.option(
    "--allow-webhook-host",
    "webhook_hosts",
    multiple=True,
    metavar="HOST",
    help="A host, address or network beyond loopback that webhooks may go to; repeatable.",
)
@_bound("worlds", MOST_WORLDS, "Worlds at once; one more is refused with 507.")
@_bound("journal", MOST_ENTRIES, "Journal entries in a world; the oldest are dropped, and the journal says so.")
@_bound("body", LARGEST_BODY, "Bytes of a request's body; a larger one is refused with 413.")
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes in all: one holds all state, the others speak HTTP with callers; alone, one does both.",
)
@click.option("--watch", is_flag=True, help="Reload a spec or a mock when it is saved, and say what changed.")
@json_option
@systems_options
@verbosity_options
def up(
    port: int,
    host: str,
    seed: int,
    db: Path | None,
    faults: str | None,
    recording: Path | None,
    tls: bool,
    tls_dir: Path | None,
    control_token: str | None,
    hosts: tuple[str, ...],
    webhook_hosts: tuple[str, ...],
    max_worlds: int,
    max_journal: int,
    max_body: int,
    workers: int,
    watch: bool,
    as_json: bool,
    sources: Sources,
) -> None:
    """Serve all systems on one port, until Ctrl-C.

    Only programs of this machine can reach it, unless --host says otherwise; then the control API asks for a token,
    which is printed.
    """
    if workers > 1 and sys.platform == "win32":
        raise click.UsageError("--workers: one process cannot hand its port to another here; leave it at 1")
    project = Project.load(sources)
    plan = Plan()
    if faults is not None:
        plan = load_plan(find_plan(faults, [project.root, reference_root()], project.specs), Catalog(project.specs))
    beginning = None if recording is None else Recording.load(recording, project.specs, seed)
    server = Server(
        project,
        host=host,
        port=port,
        seed=seed,
        db=db,
        plan=plan,
        tls=importlib.import_module("sandbox.tls").Authority(TlsFiles.at(tls_dir)) if tls else None,
        control_token=control_token,
        allow_hosts=hosts,
        allow_webhooks=webhook_hosts,
        limits=Limits(worlds=max_worlds, journal=max_journal, body=max_body),
        beginning=beginning,
        workers=workers,
    )
    if beginning is not None:
        for text in beginning.notes:
            output.note(text)
        output.note(f"{recording}: each world begins with {beginning.size} records of it")
    _allow_many_connections()
    _keep_what_is_compiled()
    announce = _announce_json if as_json else _announce
    for text in notes(project.specs.values()):
        output.note(text)
    if not watch:
        server.run(ready=announce)
        return
    tell = output.note if verbosity() >= 0 else _silent
    with importlib.import_module("sandbox.cli.watch").watching(server, tell) as begin:

        def ready(served: Server) -> None:
            announce(served)
            begin()

        server.run(ready=ready)


def _silent(_: str) -> None:
    """Said nowhere: what is on another thread does not know of `-q`."""


def notes(specs: Iterable[Spec]) -> Iterator[str]:
    """What a user should know of the specs that are served: what is down, and whether there is more to see."""
    for spec in specs:
        for pointer, defect in spec.down.items():
            tokens = split(pointer)
            yield f"{spec.name}: {tokens[-1].upper()} {tokens[1]} is down (501): {spec.source.told(defect).message}"
        harmless = sum(not defect.down for defect in spec.defects)
        if harmless:
            what = "1 warning" if harmless == 1 else f"{harmless} warnings"
            yield f"{spec.name}: {what} in {spec.path}; see: sandbox specs check {shlex.quote(str(spec.path))}"


def _allow_many_connections() -> None:
    """Thousands of callers may be held by faults, each on a connection of its own."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS if hard == resource.RLIM_INFINITY else min(_CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_what_is_compiled() -> None:
    """What is compiled stays; looking through it for garbage again and again would stop all callers for a while."""
    gc.collect()
    gc.freeze()
    collect_seldom()


def _announce_json(server: Server) -> None:
    reachable = server.access()
    more = {"control_token": server.control_token} if server.control_token else {}
    if reachable.tls is not None:
        more["ca_file"] = str(reachable.tls.ca)
    output.print_json({"url": reachable.url, "systems": reachable.systems, "control": reachable.control, **more})


def _announce(server: Server) -> None:
    reachable = server.access()
    rows = [
        ("" if position else system, "Swagger UI" if name == "ui" else name, value)
        for system, values in reachable.systems.items()
        for position, (name, value) in enumerate(values.items())
    ]
    rows += [("webhooks", "secret", reachable.webhook_secret), ("control", "url", reachable.control)]
    if server.control_token is not None:
        rows.append(("", "token", server.control_token))
    if reachable.tls is not None:
        rows.append(("certificates", "authority", str(reachable.tls.ca)))
    output.out().print(output.table(("SYSTEM", "", ""), rows))
    where = "" if reachable.url == DEFAULT_URL else f" --url {reachable.url}"
    if server.control_token is not None:
        output.note("the commands take the token from --control-token or SANDBOX_CONTROL_TOKEN")
    follow = f"sandbox journal --follow{where}"
    if reachable.systems.keys() >= _OURS:
        output.note(f"next, each in a terminal: {follow}; sandbox integrator{where}; sandbox order{where}")
    else:
        named = next(iter(reachable.systems), "")
        output.note(f"next, in another terminal: {follow}; sandbox specs explain {named}")
