"""From the start of the program to the first 200: our four systems, and a specification of 300 operations and 3 MB.

Both beside Prism with one of the four, and with the large one; where it cannot be had, our own figures stand alone.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter, sleep
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from sandbox.access import access
from sandbox.project import Project
from tests.bench.big_spec import big_spec
from tests.bench.figure import Figure, Missing, show
from tests.bench.npm import program
from tests.bench.spent import spent

ROUNDS = 3
# Seconds, megabytes, seconds of processor time.
Run = tuple[float, float, float]
TIME_LIMIT = 120.0
ROOT = Path(__file__).resolve().parents[2]


def _environment(**more: str) -> dict[str, str]:
    """As it is for whoever installed with pip: what is imported is compiled already, or once."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **more}


def figures() -> Iterator[Figure]:
    yield _four()
    yield from _large()


def _four() -> Figure:
    """Our four systems beside Prism with one of them, in turn."""
    name = "start-up, exec to first 200: our four systems to Prism with one spec"
    try:
        prism = program("prism")
    except Missing as reason:
        return Figure.without(name, reason)
    spec = ROOT / "specs" / "shop.yaml"
    key = access(Project.load(ROOT).specs.values(), "http://127.0.0.1", 0).systems["shop"]["api_key"]
    ours, theirs = [], []
    for _ in range(ROUNDS + 1):
        port = free_port()
        command = [sys.executable, "-m", "sandbox.cli", "up", "--port", str(port), "-q"]
        ours.append(_first_answer(command, f"http://127.0.0.1:{port}/shop/products", _environment(), key))
        theirs.append(_prism(prism, spec, "/products", key))
    mine, other = ([statistics.median(values) for values in zip(*runs[1:], strict=True)] for runs in (ours, theirs))
    note = f"{mine[0]:.2f} s and {other[0]:.2f} s; of processor time {mine[2]:.2f} s and {other[2]:.2f} s"
    return Figure(name, mine[0] / other[0], "x", 0.7, note, aim=0.5)


def _large() -> Iterator[Figure]:
    text = big_spec()
    path = next(iter(re.findall(r"^  (/\w+):$", text, re.MULTILINE)))
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "large.yaml"
        spec.write_text(text, encoding="utf-8")
        cold = [_ours(spec, path, Path(folder) / f"cache-{number}") for number in range(ROUNDS)]
        warm = [_ours(spec, path, Path(folder) / "cache-0") for _ in range(ROUNDS)]
        try:
            bars: tuple[float | None, ...] = _prism(program("prism"), spec, path)
        except Missing:
            bars = None, None
    note = f"{text.count('operationId')} operations, {len(text) / 1e6:.1f} MB"
    seconds, memory = (min(run[0] for run in cold), min(run[1] for run in cold))
    yield Figure("startup: exec to first 200, read anew", seconds, "s", bars[0], f"{note}; the bar is Prism's")
    yield Figure("startup: exec to first 200, from the cache", min(run[0] for run in warm), "s", bars[0], note)
    yield Figure("startup: resident memory at the first 200", memory, "MB", bars[1], f"{note}; the bar is Prism's")


def _ours(spec: Path, path: str, cache: Path) -> Run:
    port = free_port()
    command = [sys.executable, "-m", "sandbox.cli", "up", "--port", str(port), "--spec", f"large={spec}", "-q"]
    environment = _environment(XDG_CACHE_HOME=str(cache))
    return _first_answer(command, f"http://127.0.0.1:{port}/large{path}", environment)


def _prism(prism: str, spec: Path, path: str, key: str = "") -> Run:
    """The same of Prism."""
    port = free_port()
    command = [prism, "mock", "--port", str(port), str(spec)]
    return _first_answer(command, f"http://127.0.0.1:{port}{path}", _environment(), key)


def _first_answer(command: list[str], url: str, environment: dict[str, str], key: str = "") -> Run:
    """Seconds until a URL answers 200; the megabytes that the process then holds, and its seconds of processor time."""
    opener = build_opener(ProxyHandler({}))
    began = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        while True:
            try:
                with closing(opener.open(Request(url, headers={"X-Shop-Api-Key": key}), timeout=TIME_LIMIT)) as answer:
                    answer.read()
                return perf_counter() - began, _resident(process.pid), spent(process.pid)
            except (URLError, OSError) as error:
                if perf_counter() - began > TIME_LIMIT or process.poll() is not None:
                    raise RuntimeError(f"{command[0]} does not answer: {error}") from None
                sleep(0.01)
    finally:
        process.terminate()
        process.wait()


def _resident(process: int) -> float:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True)
    return int(shown.stdout) / 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    show(figures())


if __name__ == "__main__":
    main()
