"""`sandbox record` as a process of its own, for the tests of it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

COMMAND = (sys.executable, "-m", "sandbox.cli")
TIME_LIMIT = 30

SHOP = """
openapi: 3.0.3
info: {title: Shop, version: "1"}
security: [{key: []}]
components:
  securitySchemes:
    query_key: {type: apiKey, in: query, name: shop_pass}
    key: {type: apiKey, in: header, name: X-Shop}
  schemas:
    Order:
      type: object
      required: [number, status]
      properties:
        number: {type: string}
        status: {type: string, enum: [placed, paid]}
        total: {type: number}
        note: {type: string}
        buyer:
          type: object
          properties:
            name: {type: string, x-personal: [orders]}
            email: {type: string, format: email, x-personal: [orders]}
            born: {type: string, format: date, x-personal: [orders]}
            phone: {type: string, pattern: '^[+][0-9]+$', x-personal: [orders]}
    Problem: {type: object, properties: {title: {type: string}}}
paths:
  /orders:
    get:
      operationId: list_orders
      parameters:
        - {name: status, in: query, schema: {type: string}}
      responses:
        "200":
          description: ok
          content:
            application/json:
              schema:
                type: object
                required: [orders]
                properties: {orders: {type: array, items: {$ref: "#/components/schemas/Order"}}}
    post:
      operationId: place_order
      x-business-key: $request.body#/number
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
      responses:
        "201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
        "400": {description: bad, content: {application/json: {schema: {$ref: "#/components/schemas/Problem"}}}}
  /orders/{number}:
    parameters: [{name: number, in: path, required: true, schema: {type: string}}]
    get:
      operationId: get_order
      x-business-key: $record#/buyer/email
      responses:
        "200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
        "404": {description: none}
    put:
      operationId: replace_order
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
      responses:
        "200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
    delete:
      operationId: delete_order
      responses: {"204": {description: gone}}
"""


def write_project(root: Path, **specs: str) -> Path:
    """A project with these specs; that of the shop unless told otherwise."""
    (root / "specs").mkdir(parents=True)
    for name, text in (specs or {"shop": SHOP}).items():
        (root / "specs" / f"{name}.yaml").write_text(text)
    return root


class Recording:
    """A recorder that runs."""

    def __init__(self, process: subprocess.Popen[str], said: dict[str, Any], folder: Path) -> None:
        self.process, self.said, self.folder = process, said, folder
        self.url = str(said["url"])
        self.file = folder / str(said["file"])
        self.http = httpx.Client(trust_env=False, timeout=TIME_LIMIT)
        self._begun = 0

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, self.url + path, **more)

    def raw(self, request: bytes) -> bytes:
        """All bytes that come back for the bytes of a request, which asks for the connection to be closed."""
        with socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), TIME_LIMIT) as connection:
            connection.sendall(request)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
            return b"".join(parts)

    def begin(self) -> None:
        """Look only at what is written from now on."""
        self._begun = self.file.stat().st_size

    def text(self) -> str:
        return self.file.read_bytes()[self._begun :].decode()

    def entries(self) -> list[dict[str, Any]]:
        # Who reads while a line is being written may see a part of it.
        return [json.loads(line) for line in self.text().splitlines(keepends=True) if line.endswith("\n")]

    def entry(self) -> dict[str, Any]:
        (only,) = self.entries()
        return only

    def drift(self) -> list[tuple[str, str]]:
        """(kind, pointer) of each departure so far."""
        return [(found["kind"], found["pointer"]) for entry in self.entries() for found in entry.get("drift", ())]

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, list[dict[str, Any]], str]:
        """End it; its exit code, what it said in JSON, and what stands on standard error."""
        self.http.close()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIME_LIMIT)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err

    def summary(self) -> dict[str, Any]:
        """What it says at the end."""
        _, said, _ = self.stop()
        summary: dict[str, Any] = said[-1]["summary"]
        return summary


@contextmanager
def recording(folder: Path, *options: str, **upstreams: str) -> Iterator[Recording]:
    """`sandbox record` on a free port."""
    named = [word for name, url in upstreams.items() for word in ("--upstream", f"{name}={url}")]
    process = subprocess.Popen(
        [*COMMAND, "record", "--port", "0", "--json", *named, *options],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            pytest.fail(f"sandbox record ended: {process.communicate(timeout=TIME_LIMIT)[1]}")
        running = Recording(process, json.loads(first), folder)
        yield running
        running.http.close()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIME_LIMIT)
