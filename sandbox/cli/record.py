"""`sandbox record`: stand between an integrator and real APIs, and keep what passes."""

from __future__ import annotations

import importlib
import secrets
import ssl
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import httpx

from sandbox.cli import output
from sandbox.cli.har import write_har
from sandbox.cli.options import example, json_option, port_option, systems_options, verbosity_options
from sandbox.clock import SystemClock
from sandbox.errors import ServeError, nearest
from sandbox.journal import Entry
from sandbox.layout import Sources
from sandbox.model import NO_KEY
from sandbox.project import Project
from sandbox.record.departure import Departure
from sandbox.record.proxy import TIME_LIMIT, Proxy
from sandbox.record.recorder import Call, Comparison, Recorder
from sandbox.record.recording_file import RecordingFile, read_entries
from sandbox.record.upstream import Upstream
from sandbox.spec import Spec

_FOLDER: Final = Path(".sandbox")
# So many different departures are told as they occur; the others stand in the file only.
_MOST_TOLD: Final = 100
_ENOUGH: Final = 3


@click.command(
    epilog=example(
        "sandbox record --upstream shop=https://api.shop.example/v2",
        "sandbox record --upstream shop=https://… --upstream crm=https://… --out monday.jsonl --har monday.har",
        "sandbox up --recording monday.jsonl",
    )
)
@click.option(
    "--upstream",
    "upstream_texts",
    multiple=True,
    required=True,
    metavar="NAME=URL",
    help="A real API under the name of its spec; repeatable.",
)
@port_option()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The journal, a new file of JSON lines; else one below .sandbox/.",
)
@click.option(
    "--har", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="At the end, the same as HAR 1.2."
)
@click.option("--compare", is_flag=True, help="Put each request to our mock, too, and say where the answers differ.")
@click.option(
    "--upstream-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="An authority to trust at the upstreams besides the usual ones.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=TIME_LIMIT,
    show_default=True,
    metavar="SECONDS",
    help="An upstream silent for so long is given up: 504.",
)
@json_option
@systems_options
@verbosity_options
def record(
    upstream_texts: tuple[str, ...],
    port: int,
    out: Path | None,
    har: Path | None,
    compare: bool,
    upstream_ca: Path | None,
    time_limit: float,
    as_json: bool,
    sources: Sources,
) -> None:
    """Record what passes between an integrator and real APIs, until Ctrl-C.

    The URLs are those of `sandbox up`, so an integrator changes nothing but its base URLs; its own credentials are
    passed through. Secrets and personal data are hidden before anything is written. Each answer is checked against the
    spec; where it departs, a line says so.
    """
    upstreams = Upstream.parse_all(upstream_texts)
    specs = sources.load()
    checked = {name: specs[name] for name in upstreams if name in specs}
    for spec in checked.values():
        for _, validator in spec.validators():
            validator.compile()
    comparison: Comparison | None = None
    if compare:
        comparison = importlib.import_module("sandbox.record.comparison").MockComparison(Project.load(sources))
    clock = SystemClock()
    if har is not None and not har.absolute().parent.is_dir():
        raise ServeError(f"{har}: there is no such folder", "make it, or name another file with --har")
    trust = _trust(upstream_ca)
    tally = _Tally(checked, upstreams, as_json=as_json)
    # Nobody who has the file can find out by trying whose address a label stands for.
    recorder = Recorder(checked, tally.keep, tally.tell, secrets.token_bytes(32), comparison)
    proxy = Proxy(upstreams, recorder, clock, port, trust, time_limit)
    try:
        tally.file = RecordingFile(out or _fresh(clock.now()))
    except ServeError:
        proxy.close()
        raise
    try:
        proxy.run(lambda: _announce(proxy, upstreams, specs, tally))
    finally:
        tally.file.close()
        if har is not None:
            write_har(har, read_entries(tally.file.path), proxy.url)
        tally.sum_up()


def _fresh(now: float) -> Path:
    return _FOLDER / f"recording-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S}.jsonl"


def _trust(authority: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if authority is not None:
        try:
            context.load_verify_locations(authority)
        except ssl.SSLError:
            raise ServeError(f"{authority} holds no certificate", "name a PEM file with --upstream-ca") from None
    return context


class _Tally:
    """Keeps the entries, and says each thing that is worth knowing once, with its count at the end."""

    file: RecordingFile

    def __init__(self, specs: dict[str, Spec], upstreams: dict[str, Upstream], *, as_json: bool) -> None:
        self._specs = specs
        self._upstreams = upstreams
        self.as_json = as_json
        self._departures: Counter[tuple[str, str, Departure]] = Counter()
        self._notes: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._strange: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    def keep(self, entry: Entry) -> None:
        self.file.write(entry)
        answer, address = entry["answer"], entry["address"]
        system = address["system"]
        if "error" in answer:
            self._note(str(answer["error"]))
        if answer.get("by") == "recorder" or answer["status"] is None:
            return
        if answer["status"] == 401:
            self._note(f"{system} answered 401: the caller's credential is missing, wrong or expired")
        elif answer["status"] == 429:
            self._note(f"{system} answered 429: its rate limit is met, which the caller has to heed")
        self._doubt(system, answer["status"], entry)

    def _doubt(self, system: str, status: int, entry: Entry) -> None:
        """Say it when nothing at all fits."""
        self._calls[system] += 1
        self._strange[system] += any(found["kind"] == "operation" for found in entry.get("drift", ()))
        self._lost[system] += status == 404
        if self._calls[system] != _ENOUGH or system not in self._specs:
            return
        url, file = self._upstreams[system].url, self._specs[system].path.name
        if self._strange[system] == _ENOUGH:
            self._note(f"no call to {system} so far is an operation of {file}: is it the spec of {url}?")
        elif self._lost[system] == _ENOUGH:
            self._note(f"{system} has answered nothing but 404 so far: is {url} the base URL of {file}?")

    def tell(self, call: Call, departure: Departure) -> None:
        operation = NO_KEY if call.operation is None else call.operation.id
        found = (call.upstream.name, operation, departure.general)
        self._departures[found] += 1
        if self._departures[found] > 1 or len(self._departures) > _MOST_TOLD:
            return
        if self.as_json:
            output.print_json({"departure": _shown(*found)})
        else:
            output.out().print(f"drift  {_line(*found)}", style="yellow", markup=False)

    def _note(self, text: str) -> None:
        self._notes[text] += 1
        if self._notes[text] > 1:
            return
        if self.as_json:
            output.print_json({"note": text})
        else:
            output.out().print(f"note   {text}", markup=False)

    def sum_up(self) -> None:
        """What there was in all."""
        if self.as_json:
            counted = [_shown(*found) | {"count": count} for found, count in self._departures.most_common()]
            notes = [{"text": text, "count": count} for text, count in self._notes.most_common()]
            summary = {"file": str(self.file.path), "calls": self.file.entries, "departures": counted, "notes": notes}
            output.print_json({"summary": summary})
            return
        rows = [(count, "drift", _line(*found)) for found, count in self._departures.most_common()]
        rows += [(count, "note", text) for text, count in self._notes.most_common()]
        if rows:
            output.out().print(output.table(("TIMES", "", ""), rows))
        output.out().print(f"{self.file.entries} calls recorded in {self.file.path}", markup=False)


def _line(system: str, operation: str, departure: Departure) -> str:
    where = f"{system}.{operation}" if operation != NO_KEY else system
    return f"{where}: {departure.pointer} {departure.detail}" if departure.pointer else f"{where}: {departure.detail}"


def _shown(system: str, operation: str, departure: Departure) -> dict[str, Any]:
    return {"system": system, "operation": operation, **departure.to_json()}


def _announce(proxy: Proxy, upstreams: dict[str, Upstream], specs: dict[str, Spec], tally: _Tally) -> None:
    urls = {name: f"{proxy.url}/{name}" for name in upstreams}
    if tally.as_json:
        systems = {
            name: {"url": urls[name], "upstream": upstream.url, "checked": name in specs}
            for name, upstream in upstreams.items()
        }
        output.print_json({"url": proxy.url, "systems": systems, "file": str(tally.file.path)})
    else:
        rows = [
            (name, urls[name], upstream.url, specs[name].path.name if name in specs else "no spec")
            for name, upstream in upstreams.items()
        ]
        output.out().print(output.table(("SYSTEM", "URL", "UPSTREAM", "CHECKED AGAINST"), rows))
        output.note(f"recording into {tally.file.path}, until Ctrl-C")
    for name in upstreams:
        if name not in specs:
            known = nearest(name, list(specs))
            output.note(f"{name} has no spec in the project, so its answers are not checked; {known}")
