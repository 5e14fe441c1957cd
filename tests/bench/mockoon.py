"""A data file for Mockoon: one stateful route, whose orders can be created and read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

_ROUTE, _RESPONSE, _BUCKET, _ENVIRONMENT = (f"{digit * 8}-{digit * 4}-4111-8111-{digit * 12}" for digit in "1234")


def mockoon_data(port: int, orders: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What `mockoon-cli start --data` reads; it adds what is left out."""
    response = {
        "uuid": _RESPONSE,
        "statusCode": 200,
        "bodyType": "DATABUCKET",
        "databucketID": "ord1",
        "crudKey": "order_number",
        "default": True,
        "rules": [],
        "rulesOperator": "OR",
    }
    route = {"uuid": _ROUTE, "type": "crud", "method": "", "endpoint": "orders", "responses": [response]}
    return {
        "uuid": _ENVIRONMENT,
        "lastMigration": 33,
        "name": "shop",
        "port": port,
        "hostname": "127.0.0.1",
        "routes": [route],
        "rootChildren": [{"type": "route", "uuid": _ROUTE}],
        "headers": [{"key": "Content-Type", "value": "application/json"}],
        "data": [{"uuid": _BUCKET, "id": "ord1", "name": "orders", "value": json.dumps(list(orders))}],
    }
