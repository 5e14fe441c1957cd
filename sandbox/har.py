"""A journal as an HTTP Archive (HAR 1.2), which browser developer tools open.

The standard: http://www.softwareishard.com/blog/har-12-spec/. What it has no word for stands in fields that begin with
an underscore, as it asks of custom fields: `_address`, `_effect`, `_fault`, `_changes`, `_outcome`, `_error`, `_drift`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import orjson

Entry = Mapping[str, Any]

CREATOR: Final = "integration-sandbox"
_UNKNOWN: Final = -1
_HTTP: Final = "HTTP/1.1"
_FORM: Final = "application/x-www-form-urlencoded"
_OWN: Final = ("seq", "address", "effect", "changes", "events", "fault", "drift", "event_id", "attempt")
# A comma begins the next cookie only where a name follows it: a date in `Expires` has one, too.
_NEXT_COOKIE: Final = re.compile(r",\s*(?=[!#$%&'*+.^_`|~0-9A-Za-z-]+=)")


def archive(entries: Iterable[Entry], base_url: str, version: str = "") -> dict[str, Any]:
    """The calls and deliveries of a journal as a HAR document; its notes, which are no requests, are left out.

    Args:
        entries: As `sandbox.journal` has them, redacted already.
        base_url: Where the systems were, such as `http://127.0.0.1:8420`; an entry's own `upstream` goes before it.
        version: Of the program that makes the archive.

    Returns:
        A JSON value: `{"log": …}`.
    """
    found = [_entry(entry, base_url.rstrip("/")) for entry in entries if entry.get("kind") != "note"]
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": CREATOR, "version": version},
            "entries": sorted(found, key=lambda entry: str(entry["startedDateTime"])),
        }
    }


def _entry(entry: Entry, base_url: str) -> dict[str, Any]:
    at = float(entry.get("at") or 0.0)
    answer = entry.get("answer")
    answer = answer if isinstance(answer, Mapping) else {}
    timings = _timings(at, answer)
    made: dict[str, Any] = {
        "startedDateTime": _iso(at),
        "time": round(sum(timings.values()), 3),
        "request": _request(entry, base_url),
        "response": _response(answer),
        "cache": {},
        "timings": timings,
    }
    made |= {f"_{name}": entry[name] for name in _OWN if entry.get(name) is not None}
    made |= {f"_{name}": answer[name] for name in ("outcome", "error") if name in answer}
    if entry.get("left_at") is not None:
        made["_left_at"] = _iso(entry["left_at"])
    return made


def _timings(at: float, answer: Entry) -> dict[str, float]:
    """Milliseconds; what is not known apart from the rest counts as waiting."""
    ended = max(at, float(answer.get("at") or at))
    begun = min(max(at, float(answer.get("begun_at") or ended)), ended)
    return {"send": 0.0, "wait": round((begun - at) * 1000, 3), "receive": round((ended - begun) * 1000, 3)}


def _request(entry: Entry, base_url: str) -> dict[str, Any]:
    request: Entry = entry.get("request") or {}
    headers: Mapping[str, str] = request.get("headers") or {}
    made: dict[str, Any] = {
        "method": request.get("method", "POST"),
        "url": _url(entry, request, base_url),
        "httpVersion": _HTTP,
        "cookies": _cookies(headers.get("cookie", "")),
        "headers": _pairs(headers.items()),
        "queryString": _pairs(parse_qsl(request.get("query") or "", keep_blank_values=True)),
        "headersSize": _UNKNOWN,
        "bodySize": request.get("size", _UNKNOWN),
    }
    body = request.get("body")
    if body is None:
        made["bodySize"] = 0
    else:
        made["postData"] = _post_data(body, headers.get("content-type", ""))
    return made


def _url(entry: Entry, request: Entry, base_url: str) -> str:
    if "url" in request:
        return str(request["url"])
    system = (entry.get("address") or {}).get("system", "")
    root = str(entry["upstream"]).rstrip("/") if "upstream" in entry else f"{base_url}/{system}"
    query = request.get("query")
    # The journal has the path decoded; a URL may not hold it so.
    path = quote(str(request.get("path", "")), safe="/:@!$&'()*+,;=-._~[]")
    return f"{root}{path}?{query}" if query else f"{root}{path}"


def _post_data(body: Any, content_type: str) -> dict[str, Any]:
    """`params` for a form, else `text`: they exclude each other."""
    if content_type.partition(";")[0].strip().lower() == _FORM and isinstance(body, Mapping):
        values = [
            (name, item) for name, value in body.items() for item in (value if isinstance(value, list) else [value])
        ]
        return {"mimeType": content_type, "params": _pairs(values)}
    return {"mimeType": content_type, "text": _text(body)}


def _response(answer: Entry) -> dict[str, Any]:
    """What was answered; status 0, as browsers write it, where nothing was."""
    status = int(answer.get("status") or 0)
    headers: Mapping[str, str] = answer.get("headers") or {}
    body = answer.get("body")
    text = "" if body is None else _text(body)
    content: dict[str, Any] = {"size": len(text.encode()), "mimeType": headers.get("content-type", "")}
    if body is not None:
        content["text"] = text
    return {
        "status": status,
        "statusText": HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "",
        "httpVersion": _HTTP,
        "cookies": [
            made for part in _NEXT_COOKIE.split(headers.get("set-cookie", "")) for made in _set_cookie(part.strip())
        ],
        "headers": _pairs(headers.items()),
        "content": content,
        "redirectURL": headers.get("location", ""),
        "headersSize": _UNKNOWN,
        "bodySize": answer.get("size", _UNKNOWN),
    }


def _cookies(header: str) -> list[dict[str, str]]:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return [{"name": name, "value": value} for name, equals, value in pairs if equals]


def _set_cookie(header: str) -> list[dict[str, Any]]:
    """The cookie of one `Set-Cookie` (RFC 6265); none where the whole of it is hidden."""
    pair, *attributes = [part.strip() for part in header.split(";")]
    name, equals, value = pair.partition("=")
    if not equals:
        return []
    given = {key.strip().lower(): text.strip() for key, _, text in (part.partition("=") for part in attributes)}
    made: dict[str, Any] = {"name": name, "value": value, "httpOnly": "httponly" in given, "secure": "secure" in given}
    return [made | {key: given[key] for key in ("path", "domain") if key in given}]


def _pairs(values: Iterable[tuple[str, Any]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value if isinstance(value, str) else _text(value)} for name, value in values]


def _text(body: Any) -> str:
    return body if isinstance(body, str) else orjson.dumps(body).decode()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
