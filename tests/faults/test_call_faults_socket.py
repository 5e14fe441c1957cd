"""Faults on calls over real sockets: each one as a raw socket sees it, and as `requests` does."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.project import Project
from sandbox.server import Server
from sandbox.tls import Authority
from sandbox.tls_files import TlsFiles
from tests.faults.site import KEY, MARK, MOMENT, PATIENCE, Answer, Site, left


@pytest.fixture(scope="module", params=[1, 3], ids=["alone", "workers"])
def running(checkout: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    serving = Server(Project.load(checkout), port=0, workers=request.param).running()
    with serving as server, closing(Site(server)) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    running.begin()
    return running


@pytest.fixture(scope="module", params=[1, 3], ids=["alone", "workers"])
def encrypted(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Site]:
    files = TlsFiles(tmp_path_factory.mktemp("tls") / "authority")
    running = Server(Project.load(checkout), port=0, tls=Authority(files), workers=request.param).running()
    with running as server, closing(Site(server, files.ca)) as site:
        yield site


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
