"""Connections on which little or nothing travels: answers without a body; a server that stops while it holds calls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from sandbox.project import Project
from sandbox.server import Server
from tests.faults.site import KEY, PATIENCE, Answer, Line, Site, left

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
