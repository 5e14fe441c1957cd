"""Bad requests over real sockets: a problem+json 4xx that names the field, and nothing is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from sandbox.server import Server

TIME_LIMIT = 10
SYSTEMS = ("shop", "crm", "accounting", "shipping")
API_KEYS = {"shop": "X-Shop-Api-Key", "shipping": "X-Carrier-Key"}
SCHEMES = {"shop": "ApiKey", "crm": "Bearer", "accounting": "Bearer", "shipping": "ApiKey"}
# A JSON value of another type, and one of each that no field of these APIs takes.
OTHER = {str: 5, int: "five", float: "five", bool: "yes", dict: [], list: {}}
ODD = (None, [[]], {"": {}}, "\x00", "x" * 100_000, -1, 2**63, -(2**64), 10**300, 1e308, 5e-324)


@dataclass(frozen=True)
class Call:
    """A POST that its system takes."""

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


ADDRESS = {"street": "12 Harbour Street", "postal_code": "BS1 4ND", "city": "Bristol", "country": "GB"}
ORDER: dict[str, Any] = {
    "order_number": "2025-4471",
    "customer": "Example Ltd",
    "amount_net": 1290.00,
    "currency": "EUR",
    "line_items": 3,
    "paid": True,
}
INVOICE: dict[str, Any] = {
    "order_number": "2025-4471",
    "currency": "EUR",
    "customer": {"name": "Example Ltd", "billing_address": ADDRESS},
    "lines": [{"description": "Standing desk", "quantity": 1, "net_amount": 60.0, "tax_rate": 19}],
    "amount_net": 60.0,
}
CALLS = {
    "shop": Call("/orders", ORDER),
    "crm": Call("/customers", {"name": "Martha Klein", "email": "martha.klein@example.com"}),
    "accounting": Call("/invoices", INVOICE, {"Idempotency-Key": "3f0c9a52-5d0e-4d0b-9a53-3cf1f0a1c7de"}),
    "shipping": Call(
        "/shipments", {"reference": "2025-4471", "recipient": {"name": "Martha Klein", "address": ADDRESS}}
    ),
}
# Operations whose schema forbids unknown fields.
STRICT = CALLS | {
    "crm": Call("/customers/search", {"name": "Martha Klein"}),
    "shipping": Call("/webhook-subscriptions", {"url": "http://127.0.0.1:9/", "events": ["shipment.dispatched"]}),
}
LISTS = {"shop": "/orders", "crm": "/customers/{customer_id}/activities", "accounting": "/invoices"} | {
    "shipping": "/shipments"
}
VALUES = {
    "order_number": "2025-4471",
    "line_item_id": "li_4tq7b2mzx9ka",
    "sku": "DESK-180",
    "subscription_id": "sub_5m2k8w4ynq3c",
    "customer_id": "cus_9k2m4x7tqwzb",
    "activity_id": "act_7m3xq9t2vkhb",
    "invoice_id": "inv_7k3m2q6x4t5a",
    "credit_note_id": "cn_4hb2w7zq3r6c",
    "shipment_id": "shp_6n4t2w5q7z3d",
}


class Client:
    """Asks one system, with its credentials unless a header says otherwise."""

    def __init__(self, server: Server, system: str) -> None:
        self.system = system
        self.spec = server.project.specs[system]
        self.access = server.access().systems[system]
        self.session = requests.Session()
        self.session.trust_env = False
        self.credential = self._credential()
        self.call = CALLS[system]

    def _credential(self) -> dict[str, str]:
        if self.system in API_KEYS:
            return {API_KEYS[self.system]: self.access["api_key"]}
        if self.system == "accounting":
            return {"Authorization": f"Bearer {self.access['token']}"}
        form = {"grant_type": "client_credentials"} | {n: self.access[n] for n in ("client_id", "client_secret")}
        answer = self.session.post(f"{self.access['url']}/oauth/token", data=form, timeout=TIME_LIMIT)
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def send(
        self, method: str, path: str, body: bytes | Mapping[str, Any] | None = None, **headers: str | bytes | None
    ) -> requests.Response:
        data = json.dumps(body).encode() if isinstance(body, Mapping) else body
        plain = {"Content-Type": "application/json"} if data is not None else {}
        sent = self.credential | plain | {name.replace("_", "-"): value for name, value in headers.items()}
        url = self.access["url"] + path
        return self.session.request(method, url, data=data, headers=sent, timeout=TIME_LIMIT)  # type: ignore[arg-type]

    def post(self, body: bytes | Mapping[str, Any], call: Call | None = None) -> requests.Response:
        call = call or self.call
        return self.send("POST", call.path, body, **{n.replace("-", "_"): v for n, v in call.headers.items()})


@pytest.fixture(scope="module", params=SYSTEMS)
def client(server: Server, request: pytest.FixtureRequest) -> Client:
    """A system in which something is stored already."""
    client = Client(server, request.param)
    call = client.call
    body = json.dumps(call.body).replace("4471", "4472").replace("martha", "ada")
    headers = {name.replace("-", "_"): value[::-1] for name, value in call.headers.items()}
    assert client.send("POST", call.path, body.encode(), **headers).status_code == 201
    return client


def state(server: Server, session: requests.Session) -> Any:
    world = f"{server.access().control}/worlds/default"
    found = [session.get(f"{world}/{what}", timeout=TIME_LIMIT).json() for what in ("state", "deliveries")]
    assert found[0]
    return found


@pytest.fixture(autouse=True)
def nothing_is_stored(server: Server, client: Client) -> Iterator[None]:
    before = state(server, client.session)
    yield
    assert state(server, client.session) == before


def refused(answer: requests.Response, *statuses: int, names: str | None = None) -> dict[str, Any]:
    """The problem that a refusal is."""
    shown = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}"
    assert answer.status_code in statuses, shown
    assert answer.headers["content-type"] == "application/problem+json", shown
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"]
    assert problem["title"]
    assert problem["detail"]
    if names is not None:
        assert any(error["pointer"].startswith(names) for error in problem["errors"]), shown
        assert all(error["detail"] for error in problem["errors"])
    return problem


NOT_JSON = (
    b"{", b"}", b"[1,2", b'{"a":1,}', b"{'a':1}", b"{a:1}", b'{"a" 1}', b'{"a":1}{"b":2}', b"// no\n{}", b"tru", b"-",
    b"01", b"1e999", b"NaN", b'{"amount_net":NaN}', b"Infinity", b"\x00", b" ", b"<xml/>", b"a=b&c=d",
    b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b'{"name":"\xff"}', b'{"name":"\xc3\x28"}', b'{"name":"\xed\xa0\x80"}',
    b'{"name":"\\ud800"}', b'{"name":"\\udfff\\ud800"}', b'{"name":"\x01"}', b'{"name":"\\x41"}',
    b"[" * 100_000, b'{"a":' * 100_000, b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65,
)  # fmt: skip


def test_what_is_no_json(client: Client) -> None:
    for raw in NOT_JSON:
        problem = refused(client.post(raw), 400, names="")
        assert problem["type"] == "/problems/malformed-body", raw[:40]


def test_json_that_is_no_object(client: Client) -> None:
    for raw in (b"null", b"true", b"0", b'""', b'"{}"', b"[]", b"[{}]", b"123456789012345678901"):
        refused(client.post(raw), 400, names="")


def test_no_body(client: Client) -> None:
    assert "is required" in str(refused(client.post(b""), 400, names="")["errors"])


def test_a_missing_field_is_named(client: Client) -> None:
    required = {"shop": ORDER, "crm": client.call.body, "accounting": INVOICE, "shipping": client.call.body}
    for name in required[client.system]:
        body = {field: value for field, value in client.call.body.items() if field != name}
        refused(client.post(body), 400, names=f"/{name}")


def test_a_field_of_another_type_is_named(client: Client) -> None:
    for name, value in client.call.body.items():
        refused(client.post({**client.call.body, name: OTHER[type(value)]}), 400, names=f"/{name}")


def test_an_odd_value_is_refused_and_named(client: Client) -> None:
    for odd in ODD:
        for name in client.call.body:
            # Python's own encoder writes what others may send: integers of any size, control characters escaped.
            refused(client.post({**client.call.body, name: odd}), 400, names=f"/{name}")


def test_an_unknown_field_is_named(client: Client) -> None:
    call = STRICT[client.system]
    for name in ("surprise", "", "a/b~c", "Order_Number", "__proto__", "x" * 5000):
        problem = refused(client.post({**call.body, name: 1}, call), 400)
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        assert any(pointer.startswith(error["pointer"].rstrip("…")) for error in problem["errors"])
        assert len(json.dumps(problem)) < 1000


def test_a_deep_value_within_the_bound_is_still_the_wrong_type(client: Client) -> None:
    name, value = next(iter(client.call.body)), 1
    for _ in range(60):
        value = [value]
    refused(client.post({**client.call.body, name: value}), 400, names=f"/{name}")


MEDIA_TYPES = ("text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded", "*/*", "",
               "json", "application/json, text/plain", "application/jsonx", "application/problem+json", "x" * 2000,
               b"\xff\xfe", None)  # fmt: skip


def test_another_content_type(client: Client) -> None:
    headers = {name.replace("-", "_"): value for name, value in client.call.headers.items()}
    for media_type in MEDIA_TYPES:
        answer = client.send("POST", client.call.path, client.call.body, **headers, Content_Type=media_type)
        refused(answer, 415)
        assert answer.headers["accept"] == "application/json"


LIMITS = ("0", "-1", "101", "abc", "1.5", "1e400", "NaN", "9" * 90, "9" * 5000, "", " 5", "\u0663", "0x10", "true",
          "%00", "5&limit=6")  # fmt: skip
CURSORS = ("0", "garbage", "YWZ0ZXI6MjA", "-" * 15, "F" * 15, "0" * 16, "", "%00" * 15, "x" * 1000,
           "5c55827df1d1b14&cursor=5c55827df1d1b14")  # fmt: skip


def test_pages_that_are_none(client: Client) -> None:
    path = place(LISTS[client.system])
    for name, values in (("limit", LIMITS), ("cursor", CURSORS)):
        for value in values:
            refused(client.send("GET", f"{path}?{name}={value}"), 400, names=name)


def test_a_query_that_cannot_be_read(client: Client) -> None:
    for query in ("limit=%ff", "a=%c3%28", "&".join(f"a{n}=1" for n in range(600))):
        refused(client.send("GET", f"{place(LISTS[client.system])}?{query}"), 400, names="query")


IDS = ("%00", "%0d%0aX-Injected:%201", "%ff", "%c3%28", "%ED%A0%80", "a%2Fb", "..%2f..", "%20", "%25", "a;b=c", "*",
       "\u00fc", "\U0001f4a9", "x" * 4000, "0" * 4000, "%7Bid%7D", "'--")  # fmt: skip


def test_an_id_that_is_none(client: Client) -> None:
    """In each place of each path."""
    for operation in client.spec.operations.values():
        for name in re.findall(r"\{(\w+)\}", operation.path):
            body = client.call.body if operation.body is not None else None
            for id_ in IDS:
                path = place(operation.path.replace(f"{{{name}}}", id_))
                answer = client.send(operation.method, path, body, If_Match='"v1"')
                refused(answer, 400, 404, 405)
                assert "X-Injected" not in answer.headers


PATHS = ("", "/", "//", "/nowhere", "LIST/", "LIST//", "/LIST", "LIST%2F", "/./LISTx", "/%2e%2eLISTx", "/uix",
         "/openapi.jsonx", "/ui/nowhere.js")  # fmt: skip


def test_a_path_that_is_none(client: Client) -> None:
    for path in PATHS:
        answer = client.send("GET", path.replace("LIST", LISTS[client.system].partition("/{")[0]))
        if answer.status_code != 405:
            refused(answer, 404)


def test_a_world_that_is_none(server: Server, client: Client) -> None:
    for world in ("", "%00", "..%2f", "-x", "x" * 64, "a%20b", "\u00fc"):
        url = f"{server.url}/w/{world}/{client.system}{client.call.path}"
        refused(client.session.post(url, json=client.call.body, headers=client.credential, timeout=TIME_LIMIT), 404)


def credentials(client: Client, server: Server) -> Iterator[dict[str, str]]:
    """Headers that do not show who is calling."""
    yield {}
    foreign = server.access().systems["shipping" if client.system == "shop" else "shop"]["api_key"]
    if client.system in API_KEYS:
        values = ["", "x", foreign, "x" * 5000, f"{client.access['api_key']}x", client.access["api_key"].upper()]
        yield from ({API_KEYS[client.system]: value} for value in values)
        yield {"Authorization": f"Bearer {client.access['api_key']}"}
        return
    good = client.credential["Authorization"].partition(" ")[2]
    values = ["", "Bearer", f"Basic {good}", good, f"Bearer {good}x", f"Bearer {good} x", f"Bearer {foreign}",
              "Bearer \u00fc", "Bearer " + "x" * 5000, "Basic !", "Basic YQ==", f"Digest {good}"]  # fmt: skip
    yield from ({"Authorization": value} for value in values)


def test_credentials_that_are_missing_or_wrong(server: Server, client: Client) -> None:
    for shown in credentials(client, server):
        url = client.access["url"] + client.call.path
        # Encoded here, since not everything that others send can be said in ASCII.
        headers = {name: value.encode() for name, value in {**client.call.headers, **shown}.items()}
        answer = requests.post(url, json=client.call.body, headers=headers, timeout=TIME_LIMIT)  # type: ignore[arg-type]
        refused(answer, 401)
        assert answer.headers["www-authenticate"].split()[0] == SCHEMES[client.system]


def test_every_operation_asks_who_is_calling(client: Client) -> None:
    """Before it looks at anything else of the request."""
    for operation in client.spec.operations.values():
        if operation.security:
            url = client.access["url"] + place(operation.path)
            answer = requests.request(operation.method, url, data=b"{", timeout=TIME_LIMIT)
            refused(answer, 401)
            assert answer.headers["www-authenticate"].startswith(SCHEMES[client.system])


def test_an_expired_token(server: Server) -> None:
    client = Client(server, "crm")
    url = f"{server.url}/w/later/crm"
    form = {"grant_type": "client_credentials"} | {n: client.access[n] for n in ("client_id", "client_secret")}
    token = requests.post(f"{url}/oauth/token", data=form, timeout=TIME_LIMIT).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.post(f"{url}/customers/search", json={}, headers=headers, timeout=TIME_LIMIT).status_code == 200
    requests.post(f"{server.access().control}/worlds/later/clock/advance", json={"seconds": 3601}, timeout=TIME_LIMIT)
    answer = requests.post(f"{url}/customers/search", json={}, headers=headers, timeout=TIME_LIMIT)
    refused(answer, 401)
    assert answer.headers["www-authenticate"] == 'Bearer realm="crm", error="invalid_token"'


FORMS = {b"": 400, b"grant_type=password": 400, b"grant_type=client_credentials": 401, b"grant_type=%ff": 400,
         b"grant_type=client_credentials&client_id=x&client_secret=y": 401, b"\xff\xfe": 400, b"{}": 400,
         b"grant_type=client_credentials&grant_type=client_credentials": 400, b"&" * 1000: 400}  # fmt: skip


def test_a_form_that_gets_no_token(server: Server) -> None:
    client = Client(server, "crm")
    for form, status in FORMS.items():
        answer = client.send("POST", "/oauth/token", form, Content_Type="application/x-www-form-urlencoded")
        problem = refused(answer, status)
        assert status == 401 or problem["errors"]


METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "PROPFIND", "FOO", "M-SEARCH", "!#$%&9")


def test_a_method_that_a_path_does_not_have(client: Client) -> None:
    """Whether HTTP knows the word or not: 405, and `Allow` names the path's own methods (RFC 9110)."""
    allowed: dict[str, set[str]] = {}
    for operation in client.spec.operations.values():
        allowed.setdefault(operation.path, set()).add(operation.method)
    for path, own in allowed.items():
        for method in (word for word in METHODS if word not in own):
            answer = client.send(method, place(path))
            assert answer.status_code == 405, (method, path)
            assert answer.headers["allow"] == ", ".join(sorted(own))
            if method == "HEAD":
                assert answer.content == b""
            else:
                refused(answer, 405)


def test_any_method_on_a_path_that_is_none(client: Client) -> None:
    for method in METHODS:
        answer = client.send(method, "/nowhere")
        assert answer.status_code == 404
        assert method == "HEAD" or refused(answer, 404)


def test_an_idempotency_key_that_is_none(client: Client) -> None:
    for key in ("", '""', "x" * 256, '"' + "x" * 256 + '"'):
        answer = client.send("POST", client.call.path, client.call.body, Idempotency_Key=key)
        refused(answer, 400, names="Idempotency-Key")


def test_a_required_idempotency_key(server: Server) -> None:
    refused(Client(server, "accounting").send("POST", "/invoices", INVOICE), 400, names="Idempotency-Key")


def place(template: str) -> str:
    """A path with ids of the right form that nothing has."""
    return re.sub(r"\{(\w+)\}", lambda found: VALUES[found[1]], template)
