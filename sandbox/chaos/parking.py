"""The parking probe: which orders the program under test says that it has set aside for a person."""

from __future__ import annotations

import json
from typing import Any


def read_parked(text: str) -> dict[str, str]:
    """What a probe says: a JSON mapping of orders to reasons, or a list of orders, or of mappings with both.

    Returns:
        By order, the reason.

    Raises:
        ValueError: when it is none of these.
    """
    if not text.strip():
        return {}
    document = json.loads(text)
    if isinstance(document, dict):
        return {str(order): _reason(reason) for order, reason in document.items()}
    if not isinstance(document, list):
        raise ValueError("neither a mapping of orders to reasons nor a list of orders")
    return dict(map(_parked, document))


def _parked(item: Any) -> tuple[str, str]:
    if not isinstance(item, dict):
        return str(item), "parked"
    order = item.get("order_number", item.get("order", item.get("key")))
    if order is None:
        raise ValueError(f"{item} has no order_number")
    return str(order), _reason(item.get("reason"))


def _reason(reason: Any) -> str:
    return reason if isinstance(reason, str) and reason else "parked"
