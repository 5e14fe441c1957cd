"""From the start of the program to the first 200: a specification of 300 operations and 3 MB, here and in Prism.

Prism is taken from `npx`, which fetches it once; where there is none, our own figures stand alone.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter, sleep
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from tests.bench.big_spec import big_spec
from tests.bench.figure import Figure, show

ROUNDS = 3
TIME_LIMIT = 120.0
PRISM = "@stoplight/prism-cli"


def figures() -> Iterator[Figure]:
    text = big_spec()
    path = next(iter(re.findall(r"^  (/\w+):$", text, re.MULTILINE)))
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "large.yaml"
        spec.write_text(text, encoding="utf-8")
        cold = [_ours(spec, path, Path(folder) / f"cache-{number}") for number in range(ROUNDS)]
        warm = [_ours(spec, path, Path(folder) / "cache-0") for _ in range(ROUNDS)]
        prism = _prism(spec, path)
    note = f"{text.count('operationId')} operations, {len(text) / 1e6:.1f} MB"
    seconds, memory = (min(run[0] for run in cold), min(run[1] for run in cold))
    bars = (None, None) if prism is None else prism
    yield Figure("startup: exec to first 200, read anew", seconds, "s", bars[0], f"{note}; the bar is Prism's")
    yield Figure("startup: exec to first 200, from the cache", min(run[0] for run in warm), "s", bars[0], note)
    yield Figure("startup: resident memory at the first 200", memory, "MB", bars[1], f"{note}; the bar is Prism's")


def _ours(spec: Path, path: str, cache: Path) -> tuple[float, float]:
    port = free_port()
    command = [sys.executable, "-m", "sandbox.cli", "up", "--port", str(port), "--spec", f"large={spec}", "-q"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return _first_answer(command, f"http://127.0.0.1:{port}/large{path}", environment)


def _prism(spec: Path, path: str) -> tuple[float, float] | None:
    """Its seconds and megabytes; None where it cannot be had."""
    program = shutil.which("prism") or _from_npx()
    if program is None:
        return None
    port = free_port()
    command = [program, "mock", "--port", str(port), str(spec)]
    return _first_answer(command, f"http://127.0.0.1:{port}{path}", dict(os.environ))


def _from_npx() -> str | None:
    npx = shutil.which("npx")
    if npx is None:
        return None
    asked = [npx, "--yes", "--package", PRISM, "-c", "command -v prism"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() or None


def _first_answer(command: list[str], url: str, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds until a URL answers 200, and the megabytes that the process then holds."""
    opener = build_opener(ProxyHandler({}))
    began = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        while True:
            try:
                with closing(opener.open(url, timeout=TIME_LIMIT)) as answer:
                    answer.read()
                return perf_counter() - began, _resident(process.pid)
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
