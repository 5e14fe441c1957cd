"""`sandbox record` between a program and a real API: what passes, what is kept of it, and what is hidden."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from sandbox.cli import main
from tests.recorder import COMMAND, TIME_LIMIT, Recording, recording, write_project
from tests.upstream import Api, serving

ORDER = {"number": "A-1", "status": "placed", "total": 12.5}
BUYER = {"name": "Wilhelmina Featherstone", "email": "W.Featherstone@old.example", "born": "1971-03-09"}
KEY = "k3y-of-the-real-shop"


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    with serving() as running:
        yield running


@pytest.fixture
def api(served: Api) -> Api:
    """One API for all tests of the module, which forgets between them."""
    served.seen.clear()
    served.routes.clear()
    return served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_project(tmp_path)


@pytest.fixture(scope="module")
def recorder(served: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    with recording(
        write_project(tmp_path_factory.mktemp("shop")), "--project", ".", shop=f"{served.url}/v2"
    ) as running:
        yield running


@pytest.fixture
def shop(recorder: Recording) -> Recording:
    """Records the shop, whose spec is in the project; all tests share it, and each sees its own entries."""
    recorder.begin()
    return recorder


# What passes


def test_a_request_reaches_the_upstream_as_it_was_sent(api: Api, shop: Recording) -> None:
    api.on("*", 200, b"")
    shop.raw(
        b"PATCH /shop/a%2Fb/%C3%A4;x=1//../c?b=2&a=%20&b=1 HTTP/1.1\r\nHost: here\r\nX-Shop: " + KEY.encode() + b"\r\n"
        b"Authorization: Custom abc\r\nCookie: a=1\r\nX-Twice: 1\r\nX-Twice: 2\r\nConnection: close, X-Private\r\n"
        b"X-Private: mine\r\nKeep-Alive: 1\r\nTE: trailers\r\nContent-Length: 5\r\n\r\n\x00\xff{x\n"
    )
    (seen,) = api.seen
    assert (seen.method, seen.body) == ("PATCH", b"\x00\xff{x\n")
    assert seen.target == "/v2/a%2Fb/%C3%A4;x=1//../c?b=2&a=%20&b=1"
    assert seen.header("host") == api.url.removeprefix("http://")
    assert (seen.header("x-shop"), seen.header("authorization"), seen.header("cookie")) == (KEY, "Custom abc", "a=1")
    assert [value for name, value in seen.headers if name == "x-twice"] == ["1", "2"]
    # Hop-by-hop fields end here, a gateway names itself, and nothing else is made up.
    assert seen.names == {"host", "x-shop", "authorization", "cookie", "x-twice", "content-length", "via"}


def test_a_body_of_unknown_length(api: Api, shop: Recording) -> None:
    api.on("POST /v2/orders", 201, ORDER)
    shop.call(
        "POST", "/shop/orders", content=iter([b'{"number": ', b'"A-1"}']), headers={"content-type": "application/json"}
    )
    assert api.seen[0].body == b'{"number": "A-1"}'
    assert api.seen[0].header("transfer-encoding") == "chunked"
    assert shop.entry()["request"]["body"] == {"number": "A-1"}


def test_an_answer_comes_back_as_it_was_given(api: Api, shop: Recording) -> None:
    cookies = (("Set-Cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"), ("Set-Cookie", "b=2; HttpOnly"))
    api.on("GET /v2/orders", 299, b"\x00\xfe", *cookies, ("X-Own", "\xe9"), ("Date", "yesterday"), kind="x/y")
    raw = shop.raw(b"GET /shop/orders HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    assert status.startswith("HTTP/1.1 299")
    assert body == b"\x00\xfe"
    assert sorted(line.lower() for line in lines if not line.lower().startswith("connection:")) == sorted(
        [
            "content-type: x/y",
            *(f"{n}: {v}".lower() for n, v in cookies),
            "x-own: \xe9",
            "date: yesterday",
            "content-length: 2",
        ]
    )


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 307), ("GET", 500)])
def test_answers_without_a_body_and_redirects(api: Api, shop: Recording, method: str, status: int) -> None:
    api.on("*", status, None, ("location", "https://elsewhere.example/x"), ("etag", '"1"'))
    answer = shop.call(method, "/shop/orders", follow_redirects=False)
    assert (answer.status_code, answer.headers["etag"], answer.content) == (status, '"1"', b"")
    assert len(api.seen) == 1
    assert shop.entry()["answer"]["status"] == status


def test_a_compressed_answer_is_unpacked_for_the_journal_only(api: Api, shop: Recording) -> None:
    packed = gzip.compress(json.dumps({"orders": [ORDER]}).encode())
    api.on("GET /v2/orders", 200, packed, ("content-encoding", "gzip"), kind="application/json")
    with shop.http.stream("GET", f"{shop.url}/shop/orders", headers={"accept-encoding": "br, gzip;q=0.5"}) as answer:
        assert b"".join(answer.iter_raw()) == packed
    # Nobody could read the journal of what is in a coding that is not known here.
    assert api.seen[0].header("accept-encoding") == "gzip;q=0.5"
    entry = shop.entry()
    assert entry["answer"]["body"] == {"orders": [ORDER]}
    assert "drift" not in entry


def test_a_small_answer_that_unpacks_to_a_huge_one(api: Api, shop: Recording) -> None:
    api.on(
        "GET /v2/orders",
        200,
        gzip.compress(b" " * 200_000_000, 1),
        ("content-encoding", "gzip"),
        kind="application/json",
    )
    with shop.http.stream("GET", f"{shop.url}/shop/orders") as answer:
        assert answer.status_code == 200
        assert len(b"".join(answer.iter_raw())) < 2_000_000
    assert shop.entry()["answer"]["body"].startswith(("[unreadable:", "[truncated:"))


def test_an_answer_is_streamed_and_a_huge_one_not_kept(api: Api, shop: Recording) -> None:
    first_came, part = threading.Event(), b"x" * 65536

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(part) * 321))
        handler.end_headers()
        handler.wfile.write(part)
        assert first_came.wait(TIME_LIMIT)
        for _ in range(320):
            handler.wfile.write(part)

    api.routes["GET /v2/orders"] = respond
    with shop.http.stream("GET", f"{shop.url}/shop/orders") as answer:
        parts = answer.iter_raw()
        size = len(next(parts))
        first_came.set()
        size += sum(map(len, parts))
    assert size == 65536 * 321
    entry = shop.entry()
    assert entry["answer"]["body"] == f"[truncated: {size} bytes, of which the journal keeps none]"
    assert entry["answer"]["size"] == size
    assert "drift" not in entry


def test_many_at_once(api: Api, shop: Recording) -> None:
    api.on("GET /v2/orders", 200, {"orders": []})
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: shop.call("GET", "/shop/orders").status_code, range(80)))
    assert statuses == [200] * 80
    entries = shop.entries()
    for numbers in ([entry["seq"] for entry in entries], [entry["address"]["occurrence"] for entry in entries]):
        assert sorted(numbers) == list(range(min(numbers), min(numbers) + 80))


# What is kept


def test_an_entry(api: Api, shop: Recording) -> None:
    order = ORDER | {"number": "A-entry"}
    api.on("POST /v2/orders", 201, order | {"status": "paid"}, ("ETag", '"1"'))
    shop.call("POST", "/shop/orders?x=1", json=order, headers={"X-Shop": KEY})
    entry = shop.entry()
    assert entry["kind"] == "call"
    assert entry["address"] == {"system": "shop", "operation": "place_order", "key": "A-entry", "occurrence": 1}
    assert (entry["effect"], entry["changes"], entry["events"], entry["fault"]) == ("unknown", [], [], None)
    assert entry["upstream"] == f"{api.url}/v2"
    request, answer = entry["request"], entry["answer"]
    assert (request["method"], request["path"], request["query"], request["body"]) == ("POST", "/orders", "x=1", order)
    assert request["headers"]["x-shop"] == "[secret:shop]"
    assert (answer["status"], answer["body"], answer["outcome"]) == (201, order | {"status": "paid"}, "sent")
    assert answer["headers"]["etag"] == '"1"'
    assert entry["at"] <= answer["begun_at"] <= answer["at"]
    assert "drift" not in entry


def test_what_was_written_survives_a_kill(api: Api, folder: Path) -> None:
    api.on("GET /orders", 200, {"orders": []})
    with recording(folder, "--project", ".", shop=api.url) as running:
        for _ in range(5):
            running.call("GET", "/shop/orders")
        running.stop(signal.SIGKILL)
        assert [entry["seq"] for entry in running.entries()] == [1, 2, 3, 4, 5]
        assert running.file.stat().st_mode & 0o077 == 0


def test_secrets_are_learned_and_hidden_everywhere(api: Api, shop: Recording) -> None:
    basic = base64.b64encode(b"client-7:the-client-password").decode()
    secrets = [
        KEY,
        basic,
        "the-client-password",
        "session-0f-mine",
        "tok-0123456789",
        "7",
        "query/key",
        "cookie-2-value",
        "pw!",
    ]
    token = {
        "access_token": "tok-0123456789",
        "next_page_token": "the-second-page",
        "state": "accepted",
        "nested": [{"apiKey": "pw!", "x": "tok-0123456789"}],
        "pin": 7,
    }
    api.on("*", 200, token, ("Set-Cookie", "sid=cookie-2-value; Path=/"), ("X-Echo", f"{KEY} tok-0123456789"))
    headers = {"X-Shop": KEY, "Authorization": f"Basic {basic}", "Cookie": "s=session-0f-mine; t=7; consent=accepted"}
    shop.call(
        "POST", "/shop/token?shop_pass=query%2Fkey&a=tok-0123456789", headers=headers, json={"client_secret": "pw!"}
    )
    shop.call("GET", f"/shop/{KEY}/tok-0123456789?next=query%2Fkey", headers={"X-Other": "session-0f-mine"})
    text = shop.text()
    for secret in secrets:
        assert f'"{secret}"' not in text
        assert len(secret) < 8 or secret not in text
    assert "query%2Fkey" not in text
    first, second = shop.entries()
    assert first["answer"]["body"]["next_page_token"] == "the-second-page"
    assert first["answer"]["body"]["state"] == "accepted"
    assert first["request"]["query"] == "shop_pass=[secret:shop]&a=[secret:shop]"
    assert first["request"]["headers"]["authorization"] == "Basic [secret:shop]"
    assert first["request"]["headers"]["cookie"] == "s=[secret:shop]; t=[secret:shop]; consent=[secret:shop]"
    assert first["answer"]["headers"]["set-cookie"] == "sid=[secret:shop]; Path=/"
    assert second["request"]["path"] == "/[secret:shop]/[secret:shop]"


def test_a_secret_of_one_system_is_told_in_another(api: Api, folder: Path) -> None:
    with recording(folder, "--project", ".", shop=api.url, other=api.url) as running:
        running.call("GET", "/shop/orders", headers={"X-Shop": KEY})
        running.call("GET", "/other/things", headers={"Authorization": f"Bearer {KEY}"})
        assert running.entries()[1]["request"]["headers"]["authorization"] == "Bearer [secret:shop]"


def test_personal_data_are_hidden_and_stay_comparable(api: Api, shop: Recording) -> None:
    order = ORDER | {"buyer": BUYER, "note": BUYER["name"], "undeclared": {"email": "x@y.example", "surname": "Klein"}}
    api.on("POST /v2/orders", 201, order)
    api.on("GET /v2/orders/A-1", 200, order)
    api.on("GET /v2/persons", 200, [{"full_name": "Otto Unknown", "size": 4}])
    shop.call("POST", "/shop/orders", json=order)
    shop.call("GET", "/shop/orders/A-1")
    shop.call("GET", f"/shop/persons?email={BUYER['email']}&surname=Klein")
    text = shop.text().lower()
    for value in (*BUYER.values(), "x@y.example", "klein", "otto unknown"):
        assert value.lower() not in text
    made, read, listed = shop.entries()
    assert made["answer"]["body"]["buyer"] == read["answer"]["body"]["buyer"] == made["request"]["body"]["buyer"]
    assert made["answer"]["body"]["note"] == made["answer"]["body"]["buyer"]["name"]
    # The business key by `$record#/buyer/email`, of a record that an earlier answer has shown.
    assert read["address"]["key"] == made["answer"]["body"]["buyer"]["email"]
    assert listed["answer"]["body"][0]["size"] == 4


def test_a_system_without_a_spec(api: Api, folder: Path) -> None:
    api.on("GET /people/1", 418, {"id": 1, "name": "Otto Klein", "address": {"line1": "Elm 4", "country": "GB"}})
    with recording(folder, "--project", ".", crm=api.url) as running:
        assert running.call("GET", "/crm/people/1", headers={"X-Carrier-Key": "abc-defg-hij"}).status_code == 418
        entry = running.entry()
        assert entry["address"] == {"system": "crm", "operation": "-", "key": "-", "occurrence": 1}
        assert entry["request"]["headers"]["x-carrier-key"] == "[secret:crm]"
        body = entry["answer"]["body"]
        assert (body["id"], body["address"]["country"]) == (1, "GB")
        assert body["name"].startswith("[personal:")
        assert body["address"]["line1"].startswith("[personal:")
        assert running.drift() == []
        assert running.said["systems"]["crm"]["checked"] is False
        _, _, err = running.stop()
    assert "crm has no spec in the project" in err


# What goes wrong


def test_an_upstream_that_cannot_be_reached(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with recording(folder, "--project", ".", shop=f"http://127.0.0.1:{port}") as running:
        answers = [running.call("POST", "/shop/orders", json=ORDER) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [502, 502]
        assert answers[0].headers["content-type"] == "application/problem+json"
        assert answers[0].headers["sandbox-record"] == "upstream-unreachable"
        assert answers[0].json()["type"] == "/problems/upstream-unreachable"
        assert "cannot be reached" in answers[0].json()["detail"]
        entry = running.entries()[0]
        assert (entry["answer"]["status"], entry["answer"]["by"]) == (502, "recorder")
        assert "drift" not in entry
        (note,) = running.summary()["notes"]
        assert note["count"] == 2
        assert "cannot be reached" in note["text"]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def test_tls(authority: trustme.CA, folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    with serving(context) as api:
        api.on("GET /orders", 200, {"orders": []})
        with recording(folder, "--project", ".", shop=api.url) as running:
            answer = running.call("GET", "/shop/orders")
            assert answer.status_code == 502
            assert "certificate that is not trusted" in answer.json()["detail"]
        with recording(folder, "--project", ".", "--upstream-ca", "ca.pem", "--out", "2", shop=api.url) as running:
            assert running.call("GET", "/shop/orders").json() == {"orders": []}
        with recording(folder, "--out", "3", shop=api.url.replace("https", "http")) as running:
            assert running.call("GET", "/shop/orders").status_code == 502
    with serving() as plain, recording(folder, "--out", "4", shop=plain.url.replace("http", "https")) as running:
        assert "TLS" in running.call("GET", "/shop/orders").json()["detail"]


def test_an_upstream_that_is_silent(api: Api, folder: Path) -> None:
    api.routes["*"] = lambda _: api.release.wait(TIME_LIMIT) and None
    with recording(folder, "--project", ".", "--time-limit", "0.2", shop=api.url) as running:
        answer = running.call("GET", "/shop/orders")
        assert (answer.status_code, answer.headers["sandbox-record"]) == (504, "upstream-timeout")


def test_an_upstream_that_breaks_off(api: Api, shop: Recording) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
        handler.close_connection = True

    api.routes["*"] = respond
    with pytest.raises(httpx.RemoteProtocolError):
        shop.call("GET", "/shop/orders")
    entry = shop.entry()
    assert (entry["answer"]["status"], entry["answer"]["outcome"]) == (200, "cut")
    assert "broke the connection off" in entry["answer"]["error"]


def test_a_caller_that_leaves(api: Api, shop: Recording, until: Any) -> None:
    api.routes["*"] = lambda _: api.release.wait(TIME_LIMIT) and None
    with pytest.raises(httpx.ReadTimeout):
        shop.call("GET", "/shop/orders", timeout=0.3)
    (entry,) = until(shop.entries)
    assert (entry["answer"]["status"], entry["answer"]["outcome"]) == (None, "left")


@pytest.mark.skipif(sys.platform == "win32", reason="files cannot be bounded there")
def test_a_disk_that_is_full(api: Api, folder: Path) -> None:
    api.on("GET /orders", 200, {"orders": []})
    command = [*COMMAND, "record", "--port", "0", "--json", "--project", ".", "--upstream", f"shop={api.url}"]
    limited = ["sh", "-c", 'ulimit -f 4; exec "$@"', "sh", *command]
    process = subprocess.Popen(limited, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["systems"]["shop"]["url"]
        with contextlib.suppress(httpx.TransportError), httpx.Client(trust_env=False) as http:
            while True:
                assert http.get(f"{url}/orders").status_code == 200
        _, err = process.communicate(timeout=TIME_LIMIT)
    finally:
        process.kill()
    assert process.returncode == 2
    assert "cannot be written any more" in err


def test_refusals_of_the_real_api_are_passed_on_and_noted(api: Api, folder: Path) -> None:
    api.on("GET /v2/orders", 401, {"title": "expired"}, ("WWW-Authenticate", "Bearer"))
    api.on("POST /v2/orders", 429, {"title": "slow down"}, ("Retry-After", "7"))
    with recording(folder, "--project", ".", shop=f"{api.url}/v2") as running:
        for _ in range(3):
            assert running.call("GET", "/shop/orders").headers["www-authenticate"] == "Bearer"
            refused = running.call("POST", "/shop/orders", json=ORDER)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
            assert refused.json() == {"title": "slow down"}
        notes = {note["text"].partition(":")[0]: note["count"] for note in running.summary()["notes"]}
    assert len(api.seen) == 6
    assert notes == {"shop answered 401": 3, "shop answered 429": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--upstream'"),
        (("--upstream", "shop"), "'shop' names no upstream"),
        (("--upstream", "=http://x.example"), "names no upstream"),
        (("--upstream", "sh/op=http://x.example"), "cannot be a system's name"),
        (("--upstream", "shop=ftp://x.example"), "is no http or https URL"),
        (("--upstream", "shop=http://[x"), "is no URL"),
        (("--upstream", "shop=http://x.example:99999"), "is no URL"),
        (("--upstream", "shop=http://me:hidden@x.example"), "holds credentials"),
        (("--upstream", "shop=http://x.example?a=1"), "has a query"),
        (("--upstream", "shop=http://a.example", "--upstream", "shop=http://b.example"), "two upstreams for shop"),
        (("--upstream", "shop=http://a.example", "--out", "taken"), "there is such a file already"),
        (("--upstream", "shop=http://a.example", "--har", "no/such.har"), "no such folder"),
        (("--upstream", "shop=http://a.example", "--upstream-ca", "taken"), "holds no certificate"),
        (("--upstream", "shop=http://a.example", "--project", "empty"), "there are no OpenAPI files"),
    ],
)
def test_wrong_usage(
    folder: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "taken").write_text("x")
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder)
    assert main(["record", "--port", "0", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "hidden" not in err


def test_a_taken_port(api: Api, folder: Path) -> None:
    port = api.url.rpartition(":")[2]
    command = [*COMMAND, "record", "--port", port, "--upstream", "shop=http://x.example"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIME_LIMIT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: cannot listen on 127.0.0.1:{port}")


def test_for_people(api: Api, folder: Path) -> None:
    command = [*COMMAND, "record", "--port", "0", "--upstream", f"shop={api.url}", "--project", "."]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["SYSTEM", "URL", "UPSTREAM", "CHECKED", "AGAINST"]
        name, url, upstream, spec = process.stdout.readline().split()
        assert (name, upstream, spec) == ("shop", api.url, "shop.yaml")
        index = httpx.get(url.removesuffix("/shop"), trust_env=False).json()
        assert index == {"systems": {"shop": {"url": "/shop", "upstream": api.url}}}
        missing = httpx.get(url.replace("/shop", "/crm"), trust_env=False)
        assert (missing.status_code, missing.headers["sandbox-record"]) == (404, "not-found")
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 0
    assert ".sandbox/recording-" in err
    assert "0 calls recorded" in out
