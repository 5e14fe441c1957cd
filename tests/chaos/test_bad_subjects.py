"""Programs that cannot be judged: each gets a clear sentence with the evidence, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.chaos.check import Judge
from sandbox.chaos.library import Library
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.program import Running
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings
from sandbox.plan import Plan
from sandbox.project import Project

SERVER = """\
    import os, signal, subprocess, sys, time, urllib.request
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    def call(method, url, **headers):
        request = urllib.request.Request(url, b"{{}}" if method == "POST" else None, headers, method=method)
        try:
            urllib.request.urlopen(request).close()
        except urllib.error.HTTPError:
            pass

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            status, kind = 204, "text/plain"
            {on_webhook}
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()

        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    def listen():
        ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()

    def noted(pid):
        with Path(os.environ["PIDS"]).open("a") as pids:
            pids.write(f"{{pid}}\\n")

    noted(os.getpid())
    {at_start}
    listen()
"""
Write = Callable[..., SubjectSettings]


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


@pytest.fixture
def program(tmp_path: Path, pids: Path) -> Write:
    def write(on_webhook: str = "pass", at_start: str = "pass", **settings: object) -> SubjectSettings:
        source = tmp_path / "program.py"
        source.write_text(textwrap.dedent(SERVER).format(on_webhook=on_webhook, at_start=at_start))
        command = f"{sys.executable} -S {source}"
        return SubjectSettings(command, environment=(("PIDS", str(pids)),), **settings)  # type: ignore[arg-type]

    return write


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.find()


def run(project: Project, settings: SubjectSettings) -> RunRecord:
    library = Library(project)
    runner = LiveRunner(project, settings)
    try:
        return runner.run(Plan(scenario="one-paid-order"), library.scenario("one-paid-order"))
    finally:
        runner.close()


def alive(pids: Path) -> list[int]:
    """Which of the processes that were noted still run; a zombie that nobody has collected yet does not."""
    found = []
    for pid in map(int, pids.read_text().split() if pids.exists() else ()):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found.append(pid)
    return found


def gone(pids: Path, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pids)


@pytest.mark.parametrize(
    ("on_webhook", "said"),
    [
        (
            'status, kind = 404, "text/html"',
            r"404 Not Found and a page of HTML \(text/html\), and did nothing; .*/webhooks",
        ),
        ('status, kind = 200, "text/html"', "200 OK and a page of HTML"),
        ("status = 405", "405 Method Not Allowed, and did nothing"),
        (
            'call("POST", os.environ["SHOP_URL"].replace("/shop", "/erp") + "/bookings")',
            "called POST /erp/bookings, which is of no system of this project",
        ),
        (
            'call("GET", os.environ["SHOP_URL"] + "/orders", **{"X-Shop-Api-Key": "not-mine"})',
            r"shop answered 401 to all calls of the program under test \(\d, first GET /orders\)",
        ),
    ],
)
def test_one_that_is_not_set_up_for_it(
    project: Project, program: Write, pids: Path, on_webhook: str, said: str
) -> None:
    with pytest.raises(SubjectError, match=said) as caught:
        run(project, program(on_webhook, run_within=1.0))
    assert caught.value.hint
    assert gone(pids)


def test_one_that_loops(project: Project, program: Write, pids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.chaos.live._MOST_CALLS", 50)
    forever = (
        'while True: call("GET", os.environ["SHOP_URL"] + "/orders", **{"X-Shop-Api-Key": os.environ["SHOP_API_KEY"]})'
    )
    record = run(project, program(forever))
    assert not record.complete
    assert record.trouble[0].startswith("more than 50 calls in one run: shop.list_orders")
    assert any("hard limit" in sentence for sentence in Judge(project, SubjectSettings("it")).check(record).trouble)
    assert gone(pids)


def test_one_that_is_never_done(project: Project, program: Write, pids: Path) -> None:
    record = run(project, program("time.sleep(60)", run_within=0.5))
    assert (record.complete, record.trouble) == (False, ("still at work after 0.5 s: it called nothing",))
    assert gone(pids)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[SubjectSettings], Running]]:
    started: list[Running] = []

    def start(settings: SubjectSettings) -> Running:
        started.append(Running(settings, tmp_path, {}))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.kill()


CHILD = "[sys.executable, '-S', '-c', 'import time; time.sleep(60)']"


@pytest.mark.parametrize("session", [False, True])
def test_its_children_end_with_it(
    program: Write, pids: Path, running: Callable[[SubjectSettings], Running], session: bool
) -> None:
    child = f"noted(subprocess.Popen({CHILD}, start_new_session={session}).pid)"
    one = running(program(at_start=child))
    assert len(alive(pids)) == 2
    one.kill()
    assert gone(pids)


def test_one_that_ignores_sigterm_is_killed(
    program: Write, pids: Path, running: Callable[[SubjectSettings], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = running(program(at_start="signal.signal(signal.SIGTERM, signal.SIG_IGN)"))
    one.stop()
    assert gone(pids)


def test_of_megabytes_only_the_end_is_kept(
    program: Write, running: Callable[[SubjectSettings], Running], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sandbox.chaos.program._LARGEST_OUTPUT", 100_000)
    loud = "for n in range(30000): print('line', n)\n    sys.stdout.flush()".replace("\n    ", "\n")
    one = running(program(at_start=loud))
    deadline = time.monotonic() + 10
    while one.said()[-1:] != ["line 29999"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert one.ended() is None
    assert one.length < 150_000
    assert one.said() == [f"line {n}" for n in range(29995, 30000)]


CLI = """\
    import sys
    from sandbox.cli import main
    sys.argv = ["sandbox", "chaos", "run", "one-paid-order", "--subject", sys.argv[1]]
    sys.exit(main())
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_we_are_ended(program: Write, pids: Path, tmp_path: Path, how: signal.Signals) -> None:
    child = f"noted(subprocess.Popen({CHILD}, start_new_session=True).pid)"
    settings = program("time.sleep(60)", child)
    environment = {**os.environ, "PIDS": str(pids), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(CLI), settings.name]
    ours = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while len(alive(pids)) < 2 and ours.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(alive(pids)) == 2
        ours.send_signal(how)
        ours.wait(20)
        assert gone(pids)
        while list(tmp_path.glob("sandbox-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert list(tmp_path.glob("sandbox-*")) == []
    finally:
        ours.kill()
        ours.wait()
