"""Bytes that are hardly HTTP, over real sockets: one clear refusal, nothing stored, and the server serves on."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from sandbox.limits import LARGEST_BODY
from sandbox.protocol import LARGEST_HEAD, LONGEST_TARGET, MOST_FIELDS
from sandbox.server import Server

TIME_LIMIT = 10
TEN_MEGABYTES = 10 * 2**20
ORDER = {"order_number": "2025-4471", "customer": "Example Ltd", "amount_net": 1290.00, "currency": "EUR"} | {
    "line_items": 3,
    "paid": True,
}
BODY = json.dumps(ORDER).encode()


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self, *statuses: int) -> dict[str, Any]:
        assert self.status in statuses, self
        assert self.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        return problem


class Wire:
    """A connection to the server on which any bytes can be sent."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection((server.host, server.port), TIME_LIMIT)
        self.reader = self.socket.makefile("rb")
        key = server.access().systems["shop"]["api_key"]
        self.fields = f"Host: {server.host}\r\nX-Shop-Api-Key: {key}\r\nContent-Type: application/json\r\n".encode()

    def head(self, start: str = "POST /shop/orders HTTP/1.1", *fields: bytes, length: int | None = len(BODY)) -> bytes:
        lines = [start.encode("latin-1") + b"\r\n", self.fields, *(field + b"\r\n" for field in fields)]
        lines += [] if length is None else [b"Content-Length: %d\r\n" % length]
        return b"".join([*lines, b"\r\n"])

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def answer(self) -> Answer:
        status = int(self.reader.readline().split()[1])
        headers = {name.lower(): value for name, value in http.client.parse_headers(self.reader).items()}
        return Answer(status, headers, self.reader.read(int(headers["content-length"])))

    def asked(self, *parts: bytes) -> Answer:
        self.send(*parts)
        return self.answer()

    def close(self) -> None:
        self.reader.close()
        self.socket.close()

    def ended(self) -> bool:
        """Whether the server closes the connection."""
        return self.reader.read(1) == b""


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    wire = Wire(server)
    yield wire
    wire.close()


@pytest.fixture(autouse=True)
def nothing_is_stored(server: Server) -> Iterator[None]:
    def orders() -> Any:
        """By way of the API, so that it is seen to serve as well."""
        access = server.access().systems["shop"]
        headers = {"X-Shop-Api-Key": access["api_key"]}
        answer = requests.get(f"{access['url']}/orders", headers=headers, timeout=TIME_LIMIT)
        state = requests.get(f"{server.access().control}/worlds/default/state", timeout=TIME_LIMIT).json()
        return answer.json(), state.get("shop", {}).get("orders")

    before = orders()
    yield
    assert orders() == before


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n\r\nx",
        b"\x00" * 100 + b"\r\n\r\n",
        b"\xff\xfe\xfd\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /shop/orders\r\n\r\n",
        b"GET /shop/orders HTTP/9.9\r\n\r\n",
        b"GET /shop/orders HTTP/1.1 x\r\n\r\n",
        b"GET /shop/ord ers HTTP/1.1\r\n\r\n",
        b"GET /shop/\x00 HTTP/1.1\r\n\r\n",
        b"GET /shop/\xff HTTP/1.1\r\n\r\n",
        b"GET shop/orders HTTP/1.1\r\n\r\n",
        b"GET ?x HTTP/1.1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"GET http://[::1/shop HTTP/1.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"G" * 100_000,
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_bytes_that_are_no_request(wire: Wire, raw: bytes) -> None:
    answer = wire.asked(raw)
    answer.problem(400, 401, 404, 405, 414)
    assert "connection" not in answer.headers or wire.ended()


@pytest.mark.parametrize(
    "field",
    [
        b"X-Nul: a\x00b",
        b"X-Bell: a\x07b",
        b"X Space: 1",
        b"X-Colonless",
        b": nameless",
        b"\xff\xfe: 1",
        b"X-Return: a\rb",
        b"Content-Length: 5",
        b"Content-Length: 999999999999999999999999",
        b"Content-Length: -1",
        b"Content-Length: 0x10",
        b"Content-Length: 1, 1",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked, chunked",
    ],
)
def test_a_header_field_that_breaks_the_rules(wire: Wire, field: bytes) -> None:
    wire.asked(wire.head("POST /shop/orders HTTP/1.1", field), BODY).problem(400)
    assert wire.ended()


@pytest.mark.parametrize(
    "field", [b"X-Folded: 1\r\n  2", b"X-Latin: \xe9\xff", b"X-Empty:", b"Idempotency-Key: \xff" * 1]
)
def test_an_unusual_header_field_does_no_harm(wire: Wire, field: bytes) -> None:
    assert 400 <= wire.asked(wire.head("POST /shop/orders HTTP/1.1", field, length=1), b"{").status < 500


@pytest.mark.parametrize(
    "fields",
    [
        [b"X-Big: " + b"x" * LARGEST_HEAD],
        [b"X" * LARGEST_HEAD + b": 1"],
        [b"X-Huge: " + b"x" * 5_000_000],
        [b"X-%d: 1" % number for number in range(MOST_FIELDS + 1)],
        [b"X-%d: 1" % number for number in range(200_000)],
        [b"Cookie: a=b"] * 1000,
    ],
    ids=["big", "name", "huge", "many", "very many", "repeated"],
)
def test_a_head_beyond_all_bounds(wire: Wire, fields: Iterable[bytes]) -> None:
    wire.asked(wire.head("POST /shop/orders HTTP/1.1", *fields), BODY).problem(431)
    assert wire.ended()


def test_a_head_that_never_ends(wire: Wire) -> None:
    wire.send(b"GET /shop/orders HTTP/1.1\r\nX-Endless: ", *[b"x" * 10_000] * 100)
    wire.answer().problem(431)
    assert wire.ended()


def test_a_head_that_comes_byte_by_byte(wire: Wire) -> None:
    wire.send(*(bytes([byte]) for byte in wire.head("GET /shop/orders?limit=x HTTP/1.1", length=None)))
    assert wire.answer().problem(400)["errors"][0]["pointer"] == "limit"


@pytest.mark.parametrize("length", [LONGEST_TARGET, 1_000_000])
def test_a_url_that_is_too_long(wire: Wire, length: int) -> None:
    wire.asked(wire.head(f"GET /shop/orders?{'x' * length} HTTP/1.1", length=None)).problem(414)
    assert wire.ended()


@pytest.mark.parametrize("word", ["get", "Get", "FOO", "GETT", "!#$%&'*+-.^_`|~9", "12", "X" * 40])
@pytest.mark.parametrize(
    ("path", "allow"), [("/shop/orders", "GET, POST"), ("/w/a/crm/customers", "POST"), ("/_sandbox/health", "GET")]
)
def test_a_method_that_nobody_knows(wire: Wire, word: str, path: str, allow: str) -> None:
    """The path's own methods are named, whether the parser has heard the word or not; the connection stays."""
    for _ in range(2):
        answer = wire.asked(wire.head(f"{word} {path} HTTP/1.1") + BODY)
        assert word[:20] in answer.problem(405)["detail"]
        assert answer.headers["allow"] == allow
    wire.asked(wire.head(f"{word} /nowhere HTTP/1.1") + BODY).problem(404)
    assert wire.asked(wire.head("GET /shop/orders HTTP/1.1", length=None)).status == 200


def test_a_method_of_endless_length(wire: Wire) -> None:
    wire.asked(wire.head(f"{'X' * 41} /shop/orders HTTP/1.1"), BODY).problem(400)


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"5\r\nab",
        b"fffffffffffffffff\r\n",
        b"2\r\n{}X\r\n0\r\n\r\n",
        b"2;" + b"x" * 1000 + b"\r\n{}\n",
    ],
)
def test_chunks_that_are_none(wire: Wire, chunks: bytes) -> None:
    wire.send(wire.head("POST /shop/orders HTTP/1.1", CHUNKED, length=None), chunks)
    wire.socket.shutdown(socket.SHUT_WR)
    if chunks == b"5\r\nab":
        assert wire.ended()  # The body never ended, so there is no request to answer.
    else:
        wire.answer().problem(400)


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_caller_who_leaves_in_the_middle(server: Server, wire: Wire, leave: str) -> None:
    """What has arrived is a whole order, but not the whole request."""
    wire.send(wire.head(length=len(BODY) + 1), BODY)
    if leave == "reset":
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    wire.close()
    other = Wire(server)
    other.send(other.head("POST /shop/orders HTTP/1.1", CHUNKED, length=None), b"%x\r\n%s\r\n" % (len(BODY), BODY))
    other.close()


@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
@pytest.mark.parametrize("how", ["declared", "sent", "chunked", "unending"])
def test_a_body_of_ten_megabytes(wire: Wire, how: str, connection: bytes) -> None:
    fields = [b"Connection: " + connection]
    if how in ("declared", "sent"):
        wire.send(wire.head("POST /shop/orders HTTP/1.1", *fields, length=TEN_MEGABYTES))
        if how == "sent":
            wire.send(b"x" * TEN_MEGABYTES)
    else:
        wire.send(wire.head("POST /shop/orders HTTP/1.1", CHUNKED, *fields, length=None))
        wire.send(b"10000\r\n%s\r\n" % (b"x" * 65_536) * (TEN_MEGABYTES // 65_536))
        if how == "chunked":
            wire.send(b"0\r\n\r\n")
    assert str(LARGEST_BODY) in wire.answer().problem(413)["detail"]


def test_a_body_announced_with_expect(wire: Wire) -> None:
    """It is refused before it is sent."""
    wire.asked(wire.head("POST /shop/orders HTTP/1.1", b"Expect: 100-continue", length=TEN_MEGABYTES)).problem(413)
    assert wire.ended()


@pytest.mark.parametrize("path", ["/shop/nowhere", "/nowhere", "/_sandbox/worlds", "/shop/orders/2025-4471/pay"])
def test_ten_megabytes_where_nobody_wants_them(wire: Wire, path: str) -> None:
    wire.asked(wire.head(f"POST {path} HTTP/1.1", length=TEN_MEGABYTES), b"x" * TEN_MEGABYTES).problem(404, 413)


def test_the_largest_body_is_read(wire: Wire) -> None:
    body = b'{"order_number":"' + b"x" * (LARGEST_BODY - 19) + b'"}'
    assert len(body) == LARGEST_BODY
    problem = wire.asked(wire.head(length=len(body)), body).problem(400)
    assert problem["errors"][0]["pointer"] == "/customer"
    wire.asked(wire.head(length=len(body) + 1), body + b" ").problem(413)


def test_an_upgrade_that_nobody_offers(wire: Wire) -> None:
    fields = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x", b"Sec-WebSocket-Version: 13"]
    wire.asked(wire.head("POST /shop/orders HTTP/1.1", *fields, length=1), b"{").problem(400)


def test_garbage_after_a_request(wire: Wire) -> None:
    """The request is answered, then the connection ends."""
    wire.asked(wire.head(length=2), b"{}\x00\x01\x02").problem(400)
    assert wire.ended()


def test_requests_in_one_piece(wire: Wire) -> None:
    wire.send((wire.head(length=2) + b"[]") * 3 + wire.head("FOO /shop/orders HTTP/1.1", length=None))
    for _ in range(3):
        assert wire.answer().problem(400)["errors"][0]["detail"] == "must be of type object"


def test_http_1_0(wire: Wire) -> None:
    wire.asked(wire.head("POST /shop/orders HTTP/1.0"), BODY[:-1] + b" ").problem(400)
    assert wire.ended()


@pytest.mark.parametrize("fields", [b"", b"Host: a\r\nHost: b\r\n"], ids=["no host", "two hosts"])
def test_a_host_that_is_not_one(wire: Wire, fields: bytes) -> None:
    assert "Host" in wire.asked(b"GET /shop/orders HTTP/1.1\r\n" + fields + b"\r\n").problem(400)["detail"]
    assert wire.ended()


@pytest.mark.parametrize(
    ("path", "instance"),
    [
        ("//a:b/c", "/%2Fa:b/c"),
        ("/shop//a:b/[c]", "/%2Fa:b/%5Bc%5D"),
        ("/nowhere/a%2Fb%20%22%3C%25", "/nowhere/a/b%20%22%3C%25"),
        ("/nowhere/%ff/%00/%C3%A9", "/nowhere/%EF%BF%BD/%00/%C3%A9"),
        ("/shop/$(a)!'*+,;=@~", "/$(a)!'*+,;=@~"),
        ("/nowhere?a=b#c", "/nowhere"),
    ],
)
def test_the_instance_of_a_problem_is_a_uri_reference(wire: Wire, path: str, instance: str) -> None:
    problem = wire.asked(wire.head(f"GET {path} HTTP/1.1", length=None)).problem(404)
    assert problem["instance"] == instance
    assert urlsplit(instance).netloc == ""
