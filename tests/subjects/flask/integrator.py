"""Carries each paid order of the shop through CRM, accounting and shipping: Flask and requests, one order at a time.

A webhook is stored, then worked off at once; what did not succeed is tried again when POST /work is called, as cron
does it every few seconds, which also asks the shop for what was missed. Changes of an order are not its business.
MISTAKE=new-key-on-retry switches one common mistake on, for those who want to see it caught.
"""

import base64
import contextlib
import hmac
import json
import logging
import os
import random
import sqlite3
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import requests
from flask import Flask, request

MISTAKE = os.environ.get("MISTAKE", "")
TIMEOUT = float(os.environ.get("TIMEOUT", "3"))
PERIOD = float(os.environ.get("PERIOD", "10"))
MOST_TRIES = 100
TOLERANCE = 300
ADDRESS = ("street", "additional_line", "postal_code", "city", "country")

log = logging.getLogger("integrator")
app = Flask(__name__)
session = requests.Session()
busy: dict[str, Lock] = {}
token = {"header": "", "expires": 0.0}
poll_after = {"time": 0.0}


class TryLater(Exception):
    def __init__(self, reason, not_before=0.0):
        super().__init__(reason)
        self.not_before = not_before


class Refused(Exception):
    """It will not work, however often it is tried."""


@contextlib.contextmanager
def database():
    db = sqlite3.connect(Path(os.environ["DATA_DIR"], "integrator.db"), isolation_level=None)
    db.row_factory = sqlite3.Row
    with contextlib.closing(db), db:
        yield db


with database() as setup:
    setup.executescript("""
        PRAGMA journal_mode = WAL;
        CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS polls (since REAL);
        CREATE TABLE IF NOT EXISTS orders (number TEXT PRIMARY KEY, status TEXT DEFAULT 'open', changed TEXT DEFAULT '',
            due REAL DEFAULT 0, failures INTEGER DEFAULT 0, reason TEXT);
        CREATE TABLE IF NOT EXISTS steps (number TEXT, name TEXT, key TEXT, body TEXT, result TEXT,
            PRIMARY KEY (number, name));
    """)


def send(system, method, path, headers, body=None, key=None, **more):
    headers = {**headers, **({"Idempotency-Key": key} if key else {})}
    url = os.environ[f"{system.upper()}_URL"] + path
    place = f"{system} {method} {path}"
    try:
        answer = session.request(
            method, url, json=body, headers=headers, timeout=TIMEOUT, allow_redirects=False, **more
        )
        document = answer.json() if answer.content else {}
    except (requests.RequestException, ValueError) as error:
        raise TryLater(f"{place}: {type(error).__name__}") from error
    kind = str(document.get("type", "")).rpartition("/")[2] if isinstance(document, dict) else ""
    if answer.ok and answer.status_code < 300:
        return document
    if kind == "duplicate-email":
        return {}
    if answer.status_code in {408, 409, 425, 429} or answer.status_code >= 500 or answer.status_code < 400:
        wait = answer.headers.get("Retry-After", "")
        raise TryLater(f"{place}: {answer.status_code}", time.time() + int(wait) if wait.isdecimal() else 0.0)
    if answer.status_code == 401:
        raise PermissionError(place)
    raise Refused(f"{place}: {answer.status_code} {kind}")


def crm(method, path, body=None, key=None):
    for fresh in (False, True):
        if fresh or time.time() >= token["expires"]:
            who = (os.environ["CRM_CLIENT_ID"], os.environ["CRM_CLIENT_SECRET"])
            answer = send("crm", "POST", "/oauth/token", {}, data={"grant_type": "client_credentials"}, auth=who)
            token.update(header=f"Bearer {answer['access_token']}", expires=time.time() + answer["expires_in"] / 2)
        try:
            return send("crm", method, path, {"Authorization": token["header"]}, body, key)
        except PermissionError:
            if fresh:
                raise
    return None


def shop(method, path, body=None, **more):
    return send("shop", method, path, {"X-Shop-Api-Key": os.environ["SHOP_API_KEY"]}, body, **more)


def accounting(body, key):
    header = {"Authorization": f"Bearer {os.environ['ACCOUNTING_TOKEN']}"}
    return send("accounting", "POST", "/invoices", header, body, key)["id"]


def shipping(body, key):
    return send("shipping", "POST", "/shipments", {"X-Carrier-Key": os.environ["SHIPPING_API_KEY"]}, body, key)


def customer(body, key):
    for again in (False, True):
        if found := crm("POST", "/customers/search", {"email": body["email"]})["customers"]:
            return found[0]["customer_id"]
        if again:
            raise TryLater("crm: the customer exists, and is not found")
        if made := crm("POST", "/customers", body, key):
            return made["customer_id"]
    return None


def once(number, name, body, act):
    """A step is sent with the same body and key until its outcome is known."""
    with database() as db:
        row = (number, name, f"{name}-{number}", json.dumps(body))
        db.execute("INSERT OR IGNORE INTO steps (number, name, key, body) VALUES (?, ?, ?, ?)", row)
        step = db.execute("SELECT * FROM steps WHERE number = ? AND name = ?", (number, name)).fetchone()
    if step["result"] is not None:
        return json.loads(step["result"])
    result = act(json.loads(step["body"]), str(uuid.uuid4()) if MISTAKE == "new-key-on-retry" else step["key"])
    with database() as db:
        row = (json.dumps(result), number, name)
        db.execute("UPDATE steps SET result = ? WHERE number = ? AND name = ?", row)
    return result


def carry(number, changed):
    order = shop("GET", f"/orders/{number}")
    if order["updated_at"] < changed:
        raise TryLater("shop: the order is older than its announcement")
    if order["status"] == "cancelled" or not order["paid"]:
        return
    billing, delivery = order["billing_address"], order["delivery_address"]
    lines = [item for item in order["items"] if item["status"] != "cancelled"]
    who = once(number, "customer", {name: order["buyer"][name] for name in ("name", "email")}, customer)
    activity = {"type": "order_placed", "order_number": number}
    once(number, "activity", activity, lambda body, key: crm("POST", f"/customers/{who}/activities", body, key))
    invoice = {
        "order_number": number,
        "amount_net": order["amount_net"],
        "currency": order["currency"],
        "customer": {"name": billing["name"], "billing_address": {n: billing[n] for n in ADDRESS if n in billing}},
        "lines": [{n: line[n] for n in ("description", "quantity", "net_amount", "tax_rate")} for line in lines],
    }
    once(number, "invoice", invoice, accounting)
    recipient = {"name": delivery["name"], "address": {n: delivery[n] for n in ADDRESS if n in delivery}}
    parcel = once(number, "shipment", {"reference": number, "recipient": recipient}, shipping)
    report = {"status": "in_progress", "carrier": parcel["carrier"], "tracking_number": parcel["tracking_number"]}
    shop("PUT", f"/orders/{number}/fulfilment", report)


def work(number):
    with busy.setdefault(number, Lock()):
        with database() as db:
            order = db.execute("SELECT * FROM orders WHERE number = ?", (number,)).fetchone()
        if order["status"] not in {"open", "parking"} or order["due"] > time.time():
            return
        values = advance(order)
        with database() as db:
            columns = ", ".join(f"{name} = ?" for name in values)
            db.execute(f"UPDATE orders SET {columns} WHERE number = ?", (*values.values(), number))


def advance(order):
    number, reason = order["number"], order["reason"]
    try:
        if order["status"] == "parking":
            shop("PUT", f"/orders/{number}/fulfilment", {"status": "on_hold", "reason": reason})
            return {"status": "parked"}
        carry(number, order["changed"])
    except (TryLater, Refused, PermissionError, KeyError, TypeError) as failure:
        log.warning("%s: %s", number, failure)
        failures = order["failures"] + 1
        final = isinstance(failure, (Refused, PermissionError))
        if order["status"] == "open" and (final or failures >= MOST_TRIES):
            return {"status": "parking", "reason": str(failure), "failures": 0, "due": 0}
        wait = random.uniform(0.5, 1.0) * min(2 * PERIOD, 2.0**failures)
        return {"failures": failures, "due": max(time.time() + wait, getattr(failure, "not_before", 0.0))}
    return {"status": "settled", "failures": 0}


def hear(db, number, changed):
    db.execute("INSERT OR IGNORE INTO orders (number) VALUES (?)", (number,))
    news = "UPDATE orders SET status = 'open', changed = max(changed, ?), due = 0 WHERE number = ?"
    db.execute(f"{news} AND status NOT IN ('open', 'parking')", (changed, number))
    db.execute("UPDATE orders SET changed = max(changed, ?) WHERE number = ?", (changed, number))


def verified(raw):
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    webhook, stamp, given = (request.headers.get(f"webhook-{x}", "") for x in ("id", "timestamp", "signature"))
    if not (webhook and stamp.isdecimal()) or abs(time.time() - int(stamp)) > TOLERANCE:
        return False
    expected = b"v1," + base64.b64encode(hmac.digest(key, f"{webhook}.{stamp}.".encode() + raw, "sha256"))
    return any(hmac.compare_digest(expected, signature.encode()) for signature in given.split())


@app.get("/health")
def health():
    return "ready"


@app.post("/webhooks")
def take_webhook():
    raw = request.get_data()
    if not verified(raw):
        return "", 401
    data = json.loads(raw).get("data") or {}
    number = data.get("order_number")
    with database() as db:
        db.execute("BEGIN IMMEDIATE")
        new = db.execute("INSERT OR IGNORE INTO events VALUES (?)", (request.headers["webhook-id"],)).rowcount
        if new and number:
            hear(db, number, data.get("updated_at", ""))
    if new and number:
        work(number)
    return "", 204


@app.post("/work")
def work_off():
    poll()
    with database() as db:
        found = db.execute("SELECT number FROM orders WHERE status IN ('open', 'parking')").fetchall()
    for row in found:
        work(row["number"])
    return "", 204


def poll():
    began = time.time()
    if began < poll_after["time"]:
        return
    with database() as db:
        (last,) = db.execute("SELECT max(since) FROM polls").fetchone()
    params = {"limit": "100"}
    if last:
        since = datetime.fromtimestamp(last - 3 * PERIOD, tz=UTC)
        params["updated_since"] = since.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    try:
        orders = shop("GET", "/orders", params=params)["orders"]
    except (TryLater, Refused, PermissionError, KeyError, TypeError) as failure:
        log.warning("poll: %s", failure)
        poll_after["time"] = getattr(failure, "not_before", 0.0)
        return
    with database() as db:
        db.execute("BEGIN IMMEDIATE")
        for order in orders:
            known = db.execute("SELECT * FROM orders WHERE number = ?", (order.get("order_number"),)).fetchone()
            if known is None and order.get("paid"):
                hear(db, order["order_number"], order["updated_at"])
        db.execute("DELETE FROM polls")
        db.execute("INSERT INTO polls VALUES (?)", (began,))
