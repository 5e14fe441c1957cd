"""A journal as HAR 1.2: the checks are written from the text of the standard (softwareishard.com/blog/har-12-spec)."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.cli import main
from sandbox.har import archive
from sandbox.server import Server
from tests.recorder import COMMAND, TIME_LIMIT, recording, write_project
from tests.upstream import serving

Json = Any

CALL: Json = {
    "seq": 1,
    "kind": "call",
    "at": 1767225600.25,
    "address": {"system": "shop", "operation": "place_order", "key": "A-1", "occurrence": 1},
    "request": {
        "method": "POST",
        "path": "/orders/ä b",
        "query": "a=1&b=&a=%20",
        "headers": {"content-type": "application/json", "cookie": "s=[secret:shop]; t=2"},
        "body": {"number": "A-1", "ü": 1},
    },
    "effect": "applied",
    "changes": [{"action": "create", "collection": "orders", "id": "A-1"}],
    "events": [],
    "fault": {"inject": "slow", "effect": "applied"},
    "answer": {
        "status": 201,
        "headers": {
            "content-type": "application/json",
            "location": "/shop/orders/A-1",
            "set-cookie": "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/; HttpOnly, b=[secret:shop]; Secure",
        },
        "body": {"é": 1},
        "size": 8,
        "begun_at": 1767225600.35,
        "at": 1767225600.5,
        "outcome": "sent",
    },
}


def check(document: Json, **fields: Any) -> None:
    """An object has these fields, of these types, and no others but custom ones; `_opt` marks what may be left out."""
    assert isinstance(document, dict)
    allowed = {name.removesuffix("_opt"): kind for name, kind in fields.items()}
    for name, value in document.items():
        if name.startswith("_"):
            continue
        assert name in allowed, f"{name} is no field of HAR 1.2"
        assert isinstance(value, allowed[name]), f"{name} is a {type(value).__name__}"
        assert not (isinstance(value, bool) and allowed[name] is not bool)
    for name in fields:
        assert name.endswith("_opt") or name in document, f"{name} is missing"


def check_har(document: Json) -> list[Json]:
    """Whether a document is HAR 1.2; returns its entries."""
    number = (int, float)
    assert set(document) == {"log"}
    log = document["log"]
    check(log, version=str, creator=dict, browser_opt=dict, pages_opt=list, entries=list, comment_opt=str)
    assert log["version"] == "1.2"
    check(log["creator"], name=str, version=str, comment_opt=str)
    entries: list[Json] = log["entries"]
    # "preferred way how to sort entries": by startedDateTime.
    assert [entry["startedDateTime"] for entry in entries] == sorted(entry["startedDateTime"] for entry in entries)
    for entry in entries:
        check(
            entry, pageref_opt=str, startedDateTime=str, time=number, request=dict, response=dict, cache=dict,
            timings=dict, serverIPAddress_opt=str, connection_opt=str, comment_opt=str,
        )  # fmt: skip
        moment = datetime.fromisoformat(entry["startedDateTime"])
        assert moment.tzinfo is not None
        timings = entry["timings"]
        check(
            timings, blocked_opt=number, dns_opt=number, connect_opt=number, send=number, wait=number, receive=number,
            ssl_opt=number, comment_opt=str,
        )  # fmt: skip
        # send, wait and receive "must be non-negative"; the time "is the sum of all timings" without those of -1.
        assert min(timings["send"], timings["wait"], timings["receive"]) >= 0
        assert entry["time"] == pytest.approx(sum(value for value in timings.values() if value != -1))
        check_request(entry["request"])
        check_response(entry["response"])
    return entries


def check_message(message: Json) -> None:
    assert message["httpVersion"].startswith("HTTP/")
    assert message["headersSize"] >= -1
    assert message["bodySize"] >= -1
    for cookie in message["cookies"]:
        check(
            cookie, name=str, value=str, path_opt=str, domain_opt=str, expires_opt=str, httpOnly_opt=bool,
            secure_opt=bool, comment_opt=str,
        )  # fmt: skip
    for header in message["headers"]:
        check(header, name=str, value=str, comment_opt=str)


def check_request(request: Json) -> None:
    check(
        request, method=str, url=str, httpVersion=str, cookies=list, headers=list, queryString=list, postData_opt=dict,
        headersSize=int, bodySize=int, comment_opt=str,
    )  # fmt: skip
    check_message(request)
    parts = urlsplit(request["url"])
    # The standard: absolute, without a fragment.
    assert parts.scheme
    assert parts.netloc
    assert not parts.fragment
    assert request["url"].isascii()
    for parameter in request["queryString"]:
        check(parameter, name=str, value=str, comment_opt=str)
    if "postData" in request:
        check(request["postData"], mimeType=str, params_opt=list, text_opt=str, comment_opt=str)
        # "text and params fields are mutually exclusive."
        assert ("text" in request["postData"]) != ("params" in request["postData"])
        for parameter in request["postData"].get("params", []):
            check(parameter, name=str, value_opt=str, fileName_opt=str, contentType_opt=str, comment_opt=str)


def check_response(response: Json) -> None:
    check(
        response, status=int, statusText=str, httpVersion=str, cookies=list, headers=list, content=dict,
        redirectURL=str, headersSize=int, bodySize=int, comment_opt=str,
    )  # fmt: skip
    check_message(response)
    content = response["content"]
    check(content, size=int, compression_opt=int, mimeType=str, text_opt=str, encoding_opt=str, comment_opt=str)
    assert content["size"] == len(content.get("text", "").encode())


def of(*entries: Json) -> list[Json]:
    return check_har(archive(entries, "http://127.0.0.1:8420", "1"))


def test_a_call() -> None:
    (entry,) = of(CALL)
    assert entry["startedDateTime"] == "2026-01-01T00:00:00.250+00:00"
    assert entry["timings"] == {"send": 0.0, "wait": 100.0, "receive": 150.0}
    request, response = entry["request"], entry["response"]
    assert request["url"] == "http://127.0.0.1:8420/shop/orders/%C3%A4%20b?a=1&b=&a=%20"
    assert [(p["name"], p["value"]) for p in request["queryString"]] == [("a", "1"), ("b", ""), ("a", " ")]
    assert [(c["name"], c["value"]) for c in request["cookies"]] == [("s", "[secret:shop]"), ("t", "2")]
    assert json.loads(request["postData"]["text"]) == {"number": "A-1", "ü": 1}
    assert (response["status"], response["statusText"], response["redirectURL"]) == (201, "Created", "/shop/orders/A-1")
    assert [(c["name"], c["httpOnly"], c["secure"]) for c in response["cookies"]] == [
        ("a", True, False),
        ("b", False, True),
    ]
    assert (response["content"]["text"], response["content"]["size"], response["bodySize"]) == ('{"é":1}', 8, 8)
    assert (entry["_fault"], entry["_effect"]) == (CALL["fault"], "applied")
    assert entry["_address"] == CALL["address"]


def test_a_form() -> None:
    request = CALL["request"] | {
        "headers": {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
        "body": {"a": "1", "b": ["2", "3"]},
    }
    (entry,) = of(CALL | {"request": request})
    assert entry["request"]["postData"]["params"] == [
        {"name": "a", "value": "1"},
        {"name": "b", "value": "2"},
        {"name": "b", "value": "3"},
    ]


ANSWER: Json = {"headers": {}, "body": None, "at": 1767225601.0, "outcome": "sent"}
REQUEST: Json = {"method": "GET", "path": "/", "query": "", "headers": {"cookie": "[secret:unknown]"}, "body": None}
DELIVERY: Json = {"url": "http://127.0.0.1:1/hook", "headers": {}, "body": {}}


@pytest.mark.parametrize(
    "changed",
    [
        {"answer": "unknown"},
        {"answer": ANSWER | {"status": None, "outcome": "lost"}, "left_at": 1767225602.0},
        {"answer": ANSWER | {"status": 204, "at": CALL["at"]}},
        {"answer": ANSWER | {"status": 599, "headers": {"set-cookie": "[secret:unknown]"}, "body": "x"}},
        {"request": REQUEST},
        {"request": None},
        {"kind": "delivery", "request": DELIVERY, "answer": {"error": "refused", "at": 1767225601.0}},
        {"upstream": "https://api.example/v2/", "drift": [{"kind": "status", "pointer": "", "detail": "x"}]},
    ],
)
def test_entries_of_every_kind(changed: Json) -> None:
    assert len(of(CALL | changed)) == 1


def test_notes_are_no_requests() -> None:
    assert of({"seq": 1, "kind": "note", "at": 1.0, "address": None, "text": "dropped"}) == []


def test_a_recorded_call_has_the_url_of_the_real_api() -> None:
    (entry,) = of(CALL | {"upstream": "https://api.example/v2"})
    assert entry["request"]["url"].startswith("https://api.example/v2/orders/")


def test_the_journal_of_a_sandbox(
    server: Server, world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.order()
    world.shop("GET", "/orders?limit=1")
    world.token()
    options = ["--url", server.url, "--world", world.name]
    assert main(["journal", *options, "--har", "-"]) == 0
    entries = check_har(json.loads(capsys.readouterr().out))
    assert [entry["_address"]["operation"] for entry in entries] == ["place_order", "list_orders", "issue_token"]
    assert [entry["_effect"] for entry in entries][:2] == ["applied", "none"]
    assert entries[1]["request"]["queryString"] == [{"name": "limit", "value": "1"}]
    assert entries[2]["request"]["postData"]["params"][0] == {"name": "grant_type", "value": "client_credentials"}
    file = tmp_path / "journal.har"
    assert main(["journal", *options, "--system", "crm", "--har", str(file)]) == 0
    assert len(check_har(json.loads(file.read_text()))) == 1
    assert main(["journal", *options, "--har", str(tmp_path / "no" / "such.har")]) == 2
    assert main(["journal", *options, "--har", "-", "--follow"]) == 2


def test_a_recording(tmp_path: Path) -> None:
    with serving() as api:
        api.on("GET /orders", 200, {"orders": [{"number": 1}]})
        folder = write_project(tmp_path)
        with recording(folder, "--project", ".", "--har", "r.har", "--out", "r.jsonl", shop=api.url) as running:
            running.call("GET", "/shop/orders?status=paid", headers={"X-Shop": "my-own-secret-key"})
            running.stop()
    text = (folder / "r.har").read_text()
    assert "my-own-secret-key" not in text
    (entry,) = check_har(json.loads(text))
    assert entry["request"]["url"] == f"{api.url}/orders?status=paid"
    assert {found["kind"] for found in entry["_drift"]} == {"body"}
    # The same from the file of the journal, whose recorder may have been killed.
    command = [*COMMAND, "journal", "--file", "r.jsonl", "--har", "-"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=TIME_LIMIT)
    assert check_har(json.loads(done.stdout)) == [entry]
    shown = subprocess.run(command[:-2], cwd=folder, capture_output=True, text=True, check=True, timeout=TIME_LIMIT)
    assert "shop.list_orders" in shown.stdout
