"""What a wrong call of the command line gets: one clear line, exit 2, and no traceback."""

from __future__ import annotations

import io
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox.cli import COMMANDS, main


@dataclass(frozen=True)
class Done:
    """How a call of `main` ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SANDBOX_URL", raising=False)

    def run(*arguments: str, stdin: bytes = b"") -> Done:
        stream = io.BytesIO(stdin)
        stream.name = "<stdin>"
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream, encoding="utf-8"))
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def free_url() -> Iterator[str]:
    """An address where nothing listens: the port is taken, but not listening."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class Silent(BaseHTTPRequestHandler):
    """Answers everything with 501 and logs nothing."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def other_server() -> Iterator[str]:
    """An HTTP server that is no sandbox."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_help_names_every_command(call: Call) -> None:
    done = call("--help")
    assert done.code == 0
    listed = {line.split()[0] for line in done.out.splitlines() if line.startswith("  ") and line.strip()}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(call: Call, command: str) -> None:
    done = call(command, "--help")
    assert done.code == 0, done.err
    assert re.search(rf"^ +sandbox {command}\b", done.out, re.MULTILINE)


def test_version(call: Call) -> None:
    done = call("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.strip().replace(".", "").isalnum()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["serve"], "No such command 'serve'"),
        (["stat"], "No such command 'stat'. Did you mean 'state'?"),
        (["up", "--prot", "1"], "No such option"),
        (["up", "--port", "70000"], "70000 is not in the range 0<=x<=65535"),
        (["up", "--port", "high"], "'high' is not a valid integer"),
        (["env", "--port", "0"], "0 is not in the range 1<=x<=65535"),
        (["state", "--url", "127.0.0.1:8420"], "expected something like http://127.0.0.1:8420"),
        (["state", "--url", "ftp://127.0.0.1"], "'ftp://127.0.0.1' is no address of a sandbox"),
        (["state", "--url", "http://[::"], "'http://[::' is no address of a sandbox"),
        (["state", "--url", "http://127.0.0.1:99999"], "'http://127.0.0.1:99999' is no address of a sandbox"),
        (["env", "--project", "nowhere"], "'nowhere' does not exist"),
        (["order", "nowhere.json"], "No such file or directory"),
        (["journal", "extra"], "unexpected extra argument"),
    ],
)
def test_wrong_usage(call: Call, arguments: list[str], complaint: str) -> None:
    done = call(*arguments)
    assert done.code == 2
    assert complaint in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["order", "journal", "state", "integrator"])
def test_nothing_runs(call: Call, free_url: str, command: str) -> None:
    done = call(command, "--url", free_url)
    assert done.code == 2
    assert done.err == f"error: no sandbox runs at {free_url}\n  start it with: sandbox up\n"


def test_address_from_the_environment(call: Call, free_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_URL", free_url)
    assert f"no sandbox runs at {free_url}" in call("state").err


@pytest.mark.parametrize("command", ["order", "journal", "state", "integrator"])
def test_something_else_runs(call: Call, other_server: str, command: str) -> None:
    done = call(command, "--url", other_server)
    assert done.code == 2
    assert "so it is no sandbox" in done.err
    assert done.err.count("\n") == 2


@pytest.mark.parametrize("text", [b"{", b"", b"\xff", b"order: 1"])
def test_order_that_is_no_json(call: Call, free_url: str, text: bytes) -> None:
    done = call("order", "-", "--url", free_url, stdin=text)
    assert done.code == 2
    assert done.err.startswith("error: <stdin>: not JSON: ")
    assert "an order looks like" in done.err


@pytest.mark.parametrize("world", ["a/b", "../..", "ä", "", ".a", "a" * 64])
@pytest.mark.parametrize(
    "command", [("env",), ("state",), ("order",), ("journal",), ("fault", "list"), ("integrator",)]
)
def test_world_that_cannot_be_one(call: Call, command: tuple[str, ...], world: str) -> None:
    done = call(*command, "--world", world)
    assert done.code == 2
    assert done.out == ""
    assert "a world's name has 1 to 63 letters" in done.err
