"""An ASGI application that does nothing but answer: what uvicorn can do at most."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

BODY = (
    b'{"order_number":"2025-4471","customer":"Example Ltd","amount_net":1290.0,"currency":"EUR","line_items":3,'
    b'"paid":true,"note":"' + b"x" * 1100 + b'"}'
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer every request with an order."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
