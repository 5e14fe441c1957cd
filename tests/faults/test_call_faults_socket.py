"""Faults on calls over real sockets: each one as a raw socket sees it, and as `requests` does."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import pytest
import requests
import yaml

from sandbox.project import Project
from sandbox.server import Server
from sandbox.tls import Authority
from sandbox.tls_files import TlsFiles

KEY = "2025-4471"
MARK = "sandbox-fault"
PATIENCE = 20.0
# Long enough to see that nothing comes, short enough to be seen often.
MOMENT = 0.2
ADDRESS = {"street": "Musterweg 3", "postal_code": "10115", "city": "Berlin", "country": "DE"}
INVOICE = {
    "order_number": KEY,
    "currency": "EUR",
    "customer": {"name": "Ada Example", "billing_address": ADDRESS},
    "lines": [{"description": "Desk lamp", "quantity": 1, "net_amount": 60.00, "tax_rate": 19}],
    "amount_net": 60.00,
}


class Answer:
    """An answer as its bytes say."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def length(self) -> int:
        return int(self.headers["content-length"])


class Line:
    """A TCP connection to the sandbox."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *requests: bytes) -> None:
        self.socket.sendall(b"".join(requests))

    def rest(self) -> bytes:
        """Everything until the other side ends the connection in an orderly way."""
        parts = []
        while part := self.socket.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def answer(self) -> Answer:
        """One whole answer; the connection stays."""
        received = b""
        while b"\r\n\r\n" not in received or len(Answer(received).body) < Answer(received).length:
            part = self.socket.recv(65536)
            assert part, f"the connection ended within {received!r}"
            received += part
        return Answer(received)

    def silent(self) -> bool:
        """Whether nothing comes, and the connection stands."""
        self.socket.settimeout(MOMENT)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False


class Site:
    """A sandbox on a port; each test has a world of its own."""

    def __init__(self, server: Server, ca: Path | None = None) -> None:
        self.server = server
        self._number = 0
        self._http = requests.Session()
        self._http.trust_env = False
        self._tls = None
        if ca is not None:
            self._http.verify = str(ca)
            self._tls = ssl.create_default_context(cafile=ca)

    def close(self) -> None:
        self._http.close()

    def begin(self) -> None:
        self._number += 1
        self.world = f"t{self._number}"
        self.access = self.server.access(self.world)
        self.env = self.access.environment()
        self.control("POST", "", json={"name": self.world})

    def control(self, method: str, path: str, **options: Any) -> Any:
        tail = f"/{self.world}{path}" if path else ""
        response = self._http.request(method, f"{self.server.url}/_sandbox/worlds{tail}", timeout=PATIENCE, **options)
        assert response.ok, response.text
        return response.json() if response.content else None

    def inject(self, fault: str, operation: str = "create_invoice", **document: Any) -> None:
        on = {"system": "accounting", "operation": operation, "key": document.pop("key", KEY)}
        on["occurrence"] = document.pop("occurrence", 1)
        self.control("POST", "/faults", json={"on": on, "inject": fault} | document)

    def line(self) -> Line:
        return Line(self.server.port, self._tls)

    def head(self, method: str, path: str, *fields: str) -> bytes:
        always = ["Host: sandbox", f"Authorization: Bearer {self.env['ACCOUNTING_TOKEN']}"]
        return "\r\n".join([f"{method} /w/{self.world}/accounting{path} HTTP/1.1", *always, *fields, "", ""]).encode()

    def booking(self, key: str = KEY) -> bytes:
        """The request that creates an invoice."""
        body = json.dumps(INVOICE | {"order_number": key}).encode()
        fields = (f"Idempotency-Key: i-{key}", "Content-Type: application/json", f"Content-Length: {len(body)}")
        return self.head("POST", "/invoices", *fields) + body

    def book(self, key: str = KEY, **options: Any) -> requests.Response:
        """The same by `requests`."""
        headers = {"Idempotency-Key": f"i-{key}", "Authorization": f"Bearer {self.env['ACCOUNTING_TOKEN']}"}
        options = {"timeout": PATIENCE, "allow_redirects": False} | options
        body = INVOICE | {"order_number": key}
        return self._http.post(f"{self.env['ACCOUNTING_URL']}/invoices", json=body, headers=headers, **options)

    def invoices(self) -> list[str]:
        found = self.control("GET", "/state").get("accounting", {}).get("invoices", [])
        return [invoice["order_number"] for invoice in found]

    def entries(self, key: str = KEY) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("GET", "/journal", params={"key": key, "limit": 1000})["entries"]
        return found

    def entry(self, ready: Callable[[dict[str, Any]], object] = bool, key: str = KEY) -> dict[str, Any]:
        """The journal's first entry about a key, once it is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self.entries(key)
            if found and found[0]["answer"] != "unknown" and ready(found[0]):
                return found[0]
        raise AssertionError(f"the journal still says {self.entries(key)[:1]}")


@pytest.fixture(scope="module")
def running(checkout: Path) -> Iterator[Site]:
    with Server(Project.load(checkout), port=0).running() as server, closing(Site(server)) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    running.begin()
    return running


@pytest.fixture(scope="module")
def encrypted(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    files = TlsFiles(tmp_path_factory.mktemp("tls") / "authority")
    running = Server(Project.load(checkout), port=0, tls=Authority(files)).running()
    with running as server, closing(Site(server, files.ca)) as site:
        yield site


def left(entry: dict[str, Any]) -> bool:
    return "left_at" in entry


class TestReset:
    @pytest.mark.parametrize("effect", ["none", "applied"])
    def test_is_a_true_rst(self, site: Site, effect: str) -> None:
        site.inject("reset", effect=effect)
        with site.line() as line:
            line.send(site.booking())
            with pytest.raises(ConnectionResetError) as caught:
                line.socket.recv(1)
            assert caught.value.errno == errno.ECONNRESET
        assert site.invoices() == [KEY] * (effect == "applied")
        entry = site.entry()
        assert (entry["effect"], entry["answer"]["outcome"]) == (effect, "reset")

    @pytest.mark.parametrize("effect", ["none", "applied"])
    def test_requests(self, site: Site, effect: str) -> None:
        site.inject("reset", effect=effect)
        with pytest.raises(requests.ConnectionError, match="Connection reset by peer"):
            site.book()
        again = site.book()
        assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (
            201,
            "true" if effect == "applied" else None,
        )

    def test_takes_pipelined_requests_with_it(self, site: Site) -> None:
        site.inject("reset")
        with site.line() as line:
            line.send(site.booking(), site.booking("second"))
            with pytest.raises(ConnectionResetError):
                line.rest()
        assert (site.invoices(), site.entries("second")) == ([], [])


class TestTimeout:
    @pytest.mark.parametrize("effect", ["none", "applied"])
    def test_holds_the_connection_until_the_caller_gives_up(self, site: Site, effect: str) -> None:
        site.inject("timeout", effect=effect)
        with site.line() as line:
            line.send(site.booking())
            entry = site.entry()
            assert line.silent()
            assert not left(site.entry())
        assert site.invoices() == [KEY] * (effect == "applied")
        assert (entry["effect"], entry["answer"]["outcome"]) == (effect, "lost")
        assert entry["answer"]["status"] == (201 if effect == "applied" else None)
        assert site.entry(left)["left_at"] >= entry["answer"]["at"] + MOMENT

    @pytest.mark.parametrize("effect", ["none", "applied"])
    def test_requests(self, site: Site, effect: str) -> None:
        site.inject("timeout", effect=effect)
        with pytest.raises(requests.ReadTimeout):
            site.book(timeout=MOMENT)
        assert site.entry(left)["effect"] == effect
        assert site.book().status_code == 201
        assert site.invoices() == [KEY]

    def test_a_caller_who_only_stops_sending_has_left(self, site: Site) -> None:
        site.inject("timeout")
        with site.line() as line:
            line.send(site.booking())
            site.entry()
            line.socket.shutdown(socket.SHUT_WR)
            assert line.rest() == b""
        site.entry(left)

    def test_pipelined_requests_wait_in_vain(self, site: Site) -> None:
        site.inject("timeout")
        with site.line() as line:
            line.send(site.booking(), site.booking("second"))
            site.entry()
            line.send(site.booking("third") * 50)
            assert line.silent()
        site.entry(left)
        assert site.entries("second") == site.entries("third") == []

    def test_many_held_calls_do_not_hold_up_others(self, site: Site) -> None:
        site.inject("timeout", occurrence="any")
        lines = [site.line() for _ in range(200)]
        try:
            for line in lines:
                line.send(site.booking())
            site.entry(lambda _: len(site.entries()) == len(lines))
            assert site.book("other").status_code == 201
        finally:
            for line in lines:
                line.socket.close()
        deadline = time.monotonic() + PATIENCE
        while not all(left(entry) for entry in site.entries()):
            assert time.monotonic() < deadline


class TestTruncated:
    def test_promises_the_whole_and_sends_a_half(self, site: Site) -> None:
        site.inject("truncated")
        with site.line() as line:
            line.send(site.booking())
            answer = Answer(line.rest())
        assert (answer.status, answer.headers[MARK]) == (201, "truncated")
        assert len(answer.body) == answer.length // 2
        assert site.invoices() == [KEY]
        whole = site.book()
        assert whole.headers["Idempotent-Replayed"] == "true"
        assert whole.content.startswith(answer.body)
        assert len(whole.content) == answer.length

    @pytest.mark.parametrize("at", [0, 1, 37])
    def test_at_a_chosen_byte(self, site: Site, at: int) -> None:
        site.inject("truncated", **{"with": {"at": at}})
        with site.line() as line:
            line.send(site.booking(), site.booking("second"))
            answer = Answer(line.rest())
        assert len(answer.body) == at < answer.length
        assert site.entry()["answer"]["outcome"] == "cut"
        assert site.entries("second") == []

    def test_requests(self, site: Site) -> None:
        site.inject("truncated", **{"with": {"at": 37}})
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="37 bytes read"):
            site.book()
        assert site.invoices() == [KEY]


class TestWholeAnswers:
    """Faults whose answers are whole; the connection then serves the next request."""

    @pytest.mark.parametrize(
        ("fault", "parameters", "status", "effect"),
        [
            ("rate_limited", {"retry_after": 7}, 429, "none"),
            ("rate_limited", {"format": "http-date"}, 429, "none"),
            ("server_error", {}, 500, "none"),
            ("server_error", {"status": 503}, 503, "applied"),
            ("unauthorized", {}, 401, "none"),
            ("conflict", {}, 409, "none"),
            ("redirect", {}, 307, "none"),
            ("outage", {"calls": 1, "status": 504}, 504, "none"),
            ("malformed", {}, 201, "applied"),
            ("schema_drift", {"remove": "/id"}, 201, "applied"),
            ("repeated_request", {}, 201, "applied"),
            ("slow", {"delay": "1ms"}, 201, "applied"),
            ("slow", {"drip": "1ms", "size": 50}, 201, "applied"),
            ("none", {}, 201, "none"),
        ],
    )
    def test_raw_and_requests(self, site: Site, fault: str, parameters: Any, status: int, effect: str) -> None:
        site.inject(fault, effect=effect, key="raw", **{"with": parameters})
        with site.line() as line:
            line.send(site.booking("raw"))
            answer = line.answer()
            assert (answer.status, len(answer.body)) == (status, answer.length)
            line.send(site.head("GET", "/invoices"))
            assert line.answer().status == 200
        site.control("DELETE", "/faults")
        site.inject(fault, effect=effect, key="requests", **{"with": parameters})
        response = site.book("requests")
        assert response.status_code == status
        assert response.headers.keys() == answer.headers.keys()
        assert site.entry(key="raw")["answer"]["outcome"] == "sent"
        assert (MARK in answer.headers) == (fault not in ("none", "slow", "repeated_request"))
        done = effect == "applied" or fault == "none"
        assert site.invoices() == ["raw", "requests"] * done

    def test_malformed_by_requests(self, site: Site) -> None:
        site.inject("malformed")
        response = site.book()
        assert response.headers["Content-Type"] == "application/json"
        with pytest.raises(requests.JSONDecodeError):
            response.json()

    def test_who_follows_a_redirect_is_seen(self, site: Site) -> None:
        site.inject("redirect")
        response = site.book(allow_redirects=True)
        assert [hop.status_code for hop in response.history] == [307]
        assert response.url == f"{site.env['ACCOUNTING_URL']}/elsewhere/invoices"
        assert response.status_code == 404

    def test_stale_read(self, site: Site) -> None:
        number = site.book().json()["id"]
        site.inject("stale_read", "get_invoice")
        with site.line() as line:
            read = site.head("GET", f"/invoices/{number}")
            line.send(read, read)
            received = line.answer()
            assert (received.status, received.headers[MARK]) == (404, "stale_read")
            line.send(read)
            assert line.answer().status == 200

    def test_pipelined_requests_are_answered_in_order(self, site: Site) -> None:
        site.inject("slow", **{"with": {"delay": MOMENT}})
        site.inject("server_error", key="second")
        with site.line() as line:
            line.send(site.booking(), site.booking("second"), site.head("GET", "/invoices", "Connection: close"))
            received = line.rest()
        assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"201", b"500", b"200"]


class TestSlow:
    def test_waits_for_the_worlds_clock(self, site: Site) -> None:
        site.inject("slow", **{"with": {"delay": "1h"}})
        site.control("POST", "/clock/freeze")
        with site.line() as line:
            line.send(site.booking())
            assert line.silent()
            assert site.invoices() == [KEY]
            site.control("POST", "/clock/advance", json={"seconds": 3599})
            assert line.silent()
            site.control("POST", "/clock/advance", json={"seconds": 1})
            assert line.answer().status == 201

    def test_requests(self, site: Site) -> None:
        site.inject("slow", **{"with": {"distribution": "uniform", "lower": "100ms", "upper": "150ms"}})
        start = time.monotonic()
        assert site.book().status_code == 201
        assert time.monotonic() - start >= 0.1

    def test_drips_piece_by_piece(self, site: Site) -> None:
        site.inject("slow", **{"with": {"drip": "1s", "size": 7}})
        site.control("POST", "/clock/freeze")
        with site.line() as line:
            line.send(site.booking())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += line.socket.recv(1)
            assert line.silent()
            for piece in range(3):
                site.control("POST", "/clock/advance", json={"seconds": 1})
                assert len(line.socket.recv(65536)) == 7, piece
                assert line.silent()
            site.control("POST", "/clock/resume")
            site.control("DELETE", "/faults")
        assert site.entry()["answer"]["outcome"] == "cut"

    def test_a_dripping_answer_is_whole_in_the_end(self, site: Site) -> None:
        site.inject("slow", **{"with": {"drip": "1ms", "size": 20}})
        response = site.book(stream=True)
        assert len(response.content) == int(response.headers["Content-Length"])
        assert response.json()["order_number"] == KEY

    def test_a_caller_who_leaves_is_noted_at_once(self, site: Site) -> None:
        site.inject("slow", **{"with": {"delay": "1h"}})
        with site.line() as line:
            line.send(site.booking())
            assert line.silent()
        entry = site.entry(left)
        assert (entry["effect"], entry["answer"]["status"], entry["answer"]["outcome"]) == ("applied", 201, "lost")

    def test_a_caller_who_leaves_behind_pipelined_requests_is_noted_too(self, site: Site) -> None:
        site.inject("slow", **{"with": {"delay": "1h"}})
        with site.line() as line:
            line.send(site.booking(), site.booking("second"))
            assert line.silent()
        assert site.entry(left)["answer"]["outcome"] == "lost"

    def test_the_end_of_a_world_ends_its_waiting(self, site: Site) -> None:
        site.inject("slow", **{"with": {"delay": "1h"}})
        with site.line() as line:
            line.send(site.booking())
            assert line.silent()
            site.control("POST", "/reset")
            assert line.answer().status == 201
        assert (site.invoices(), site.entries()) == ([], [])


class TestRefusedBodies:
    def test_a_body_beyond_bounds_meets_faults_too(self, site: Site) -> None:
        site.inject("timeout", effect="applied", key="-")
        with site.line() as line:
            line.send(site.head("POST", "/invoices", "Content-Type: application/json", "Content-Length: 99999999"))
            assert line.silent()
        assert site.entry(left, key="-")["answer"]["status"] == 413

    def test_a_request_cut_off_by_its_caller_does_nothing(self, site: Site) -> None:
        with site.line() as line:
            line.send(site.booking()[:-10])
            assert line.silent()
        entry = site.entry(key="-")
        assert (entry["effect"], entry["answer"]["status"]) == ("none", 400)
        assert site.invoices() == []


class TestTls:
    """The same over TLS, where a connection ends in one more layer."""

    @pytest.fixture
    def site(self, encrypted: Site) -> Site:
        encrypted.begin()
        return encrypted

    def test_reset(self, site: Site) -> None:
        site.inject("reset", effect="applied", occurrence="1-2")
        with site.line() as line, socket.socket(fileno=os.dup(line.socket.fileno())) as below:
            line.send(site.booking())
            # Python's TLS takes a reset for an end, so it is looked for below.
            below.settimeout(PATIENCE)
            with below.makefile("rb", 0) as received, pytest.raises(ConnectionResetError):
                received.read()
        with pytest.raises(requests.ConnectionError):
            site.book()
        assert site.invoices() == [KEY]

    def test_timeout(self, site: Site) -> None:
        site.inject("timeout", effect="applied", occurrence="1-2")
        with site.line() as line:
            line.send(site.booking())
            site.entry()
            assert line.silent()
        site.entry(left)
        with pytest.raises(requests.ReadTimeout):
            site.book(timeout=MOMENT)
        assert site.invoices() == [KEY]

    def test_truncated(self, site: Site) -> None:
        site.inject("truncated", occurrence="1-2", **{"with": {"at": 37}})
        with site.line() as line:
            line.send(site.booking())
            answer = Answer(line.rest())
        assert len(answer.body) == 37 < answer.length
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="37 bytes read"):
            site.book()

    def test_slow_and_left(self, site: Site) -> None:
        site.inject("slow", key="drip", **{"with": {"drip": "1ms", "size": 50}})
        site.inject("slow", **{"with": {"delay": "1h"}})
        assert site.book("drip").json()["order_number"] == "drip"
        with pytest.raises(requests.ReadTimeout):
            site.book(timeout=MOMENT)
        assert site.entry(left)["answer"]["outcome"] == "lost"


SPEC: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Notes", "version": "1"},
    "paths": {
        "/notes/{note}": {
            "parameters": [{"name": "note", "in": "path", "required": True, "schema": {"type": "string"}}],
            "head": {
                "operationId": "peek",
                "responses": {
                    "200": {
                        "description": "It is there.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    }
                },
            },
            "delete": {"operationId": "drop", "responses": {"204": {"description": "It is gone."}}},
        }
    },
}
MOCK = """
from sandbox import System


class Notes(System):
    def peek(self, note):
        return {"note": note}

    def drop(self, note):
        return None
"""


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "specs").mkdir()
    (folder / "mocks").mkdir()
    (folder / "specs" / "notes.yaml").write_text(yaml.safe_dump(SPEC))
    (folder / "mocks" / "notes.py").write_text(MOCK)
    with Server(Project.load(folder), port=0).running() as server:
        yield server


class TestWithoutBody:
    """HEAD, and 204: answers whose body never travels."""

    def meet(self, notes: Server, operation: str, fault: str, **parameters: Any) -> bytes:
        """What comes on the line for a call that meets the fault, and for a plain one after it."""
        faults = f"{notes.url}/_sandbox/worlds/default/faults"
        on = {"system": "notes", "operation": operation, "occurrence": "any"}
        document = {"on": on, "inject": fault, "with": parameters, "count": 1}
        assert requests.put(faults, json={"faults": [document]}, timeout=PATIENCE).ok
        method = {"peek": "HEAD", "drop": "DELETE"}[operation]
        plain = f"{method} /notes/notes/a HTTP/1.1\r\nHost: sandbox\r\n"
        with Line(notes.port) as line:
            line.send(f"{plain}\r\n{plain}Connection: close\r\n\r\n".encode())
            return line.rest()

    @pytest.mark.parametrize("operation", ["peek", "drop"])
    def test_nothing_to_cut_but_the_head(self, notes: Server, operation: str) -> None:
        assert self.meet(notes, operation, "truncated") == b""

    @pytest.mark.parametrize(("operation", "status"), [("peek", b"200"), ("drop", b"204")])
    @pytest.mark.parametrize(
        ("fault", "parameters"),
        [("none", {}), ("slow", {"drip": "1ms"}), ("slow", {"delay": "1ms"}), ("schema_drift", {})],
    )
    def test_the_line_stays_in_order(
        self, notes: Server, operation: str, status: bytes, fault: str, parameters: Any
    ) -> None:
        received = self.meet(notes, operation, fault, **parameters).split(b"HTTP/1.1 ")
        assert [part[:3] for part in received[1:]] == [status, status]
        assert all(part.endswith(b"\r\n\r\n") for part in received[1:])

    def test_malformed_head(self, notes: Server) -> None:
        received = self.meet(notes, "peek", "malformed", body="oops").split(b"HTTP/1.1 ")
        assert b"content-length: 4\r\n" in received[1]
        assert received[1].endswith(b"\r\n\r\n")
        assert received[2].startswith(b"200")

    def test_malformed_no_content(self, notes: Server) -> None:
        received = self.meet(notes, "drop", "malformed", body="oops").split(b"HTTP/1.1 ")
        assert received[1].startswith(b"200")
        assert received[1].endswith(b"\r\n\r\noops")
        assert received[2].startswith(b"204")


class TestStopping:
    def test_held_calls_are_let_go_of_in_good_order(self, checkout: Path, tmp_path: Path) -> None:
        project = Project.load(checkout)
        keys = (KEY, "slow", "drip")
        with ExitStack() as stack:
            server = stack.enter_context(Server(project, port=0, db=tmp_path / "db").running())
            site = stack.enter_context(closing(Site(server)))
            site.begin()
            site.inject("timeout")
            site.inject("slow", key="slow", **{"with": {"delay": "1h"}})
            site.inject("slow", key="drip", **{"with": {"drip": "1h"}})
            lines = [site.line() for _ in keys]
            for line, key in zip(lines, keys, strict=True):
                line.send(site.booking(key))
            site.entry()
            assert all([lines[0].silent(), lines[1].silent(), Answer(lines[2].socket.recv(65536)).status == 201])
        for line in lines:
            with closing(line.socket):
                assert line.rest() == b""
        # Had they been cut off, or waited for, the journal would not know of their end.
        with Server(project, port=0, db=tmp_path / "db").running() as server, closing(Site(server)) as later:
            later.world = site.world
            ends = [(entry["answer"]["outcome"], left(entry)) for key in keys for entry in later.entries(key)]
        assert ends == [("lost", True), ("lost", True), ("cut", False)]

    @pytest.mark.skipif(os.name == "nt", reason="signals")
    def test_ctrl_c(self, tmp_path: Path) -> None:
        plan = {
            "faults": [
                {"on": {"system": "accounting", "operation": "list_invoices", "occurrence": "any"}, "inject": "timeout"}
            ]
        }
        command = [sys.executable, "-m", "sandbox.cli", "up", "--port", "0", "--json"]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            faults = f"{said['url']}/_sandbox/worlds/default/faults"
            assert requests.put(faults, json=plan, timeout=PATIENCE).ok
            port = int(said["url"].rpartition(":")[2])
            with Line(port) as line, Line(port) as other:
                for held in (line, other):
                    held.send(b"GET /accounting/invoices HTTP/1.1\r\nHost: sandbox\r\n\r\n")
                    assert held.silent()
                process.send_signal(signal.SIGINT)
                assert line.rest() == other.rest() == b""
            _, complaints = process.communicate(timeout=PATIENCE)
            assert (process.returncode, complaints) == (0, "")
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=PATIENCE)
