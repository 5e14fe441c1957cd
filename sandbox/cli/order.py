"""`sandbox order`: place an order with the running shop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import click

from sandbox.access import access
from sandbox.cli import output
from sandbox.cli.client import Client
from sandbox.cli.options import example, json_option, project_option, url_option, verbosity_options, world_option
from sandbox.errors import SandboxError
from sandbox.layout import load_specs, project_root

DOCUMENT: dict[str, Any] = {
    "order_number": "2025-4471",
    "customer": "Example Ltd",
    "amount_net": 1290.00,
    "currency": "EUR",
    "line_items": 3,
    "paid": True,
}
REFUSED = 1


@click.command(
    epilog=example(
        "sandbox order",
        "sandbox order order.json",
        """echo '{"order_number": "2025-4472", …}' | sandbox order -""",
    )
)
@click.argument("file", type=click.File("rb"), required=False)
@json_option
@url_option
@world_option
@project_option
@verbosity_options
@click.pass_context
def order(
    context: click.Context, file: BinaryIO | None, as_json: bool, url: str, world: str, project_path: Path | None
) -> None:
    """Place the order in FILE (- is standard input); left out, order 2025-4471 of Example Ltd."""
    body = _read(file) if file else json.dumps(DOCUMENT).encode()
    specs = load_specs(project_root(project_path))
    with Client(url, world) as client:
        shop = access(specs.values(), client.url, client.seed(), world).systems["shop"]
        headers = {"content-type": "application/json", "x-shop-api-key": shop["api_key"]}
        answer = client.call("POST", f"{shop['url']}/orders", headers=headers, body=body)
    document = answer.json()
    if as_json:
        output.print_json(document)
    elif answer.is_success:
        _show(document)
    if not answer.is_success:
        _refused(document)
        context.exit(REFUSED)


def _read(file: BinaryIO) -> bytes:
    """The file's bytes, which must be JSON; what the JSON says is for the shop to judge."""
    body = file.read()
    try:
        json.loads(body)
    except ValueError as error:
        raise SandboxError(f"{file.name}: not JSON: {error}", "an order looks like: " + json.dumps(DOCUMENT)) from error
    return body


def _show(order_document: dict[str, Any]) -> None:
    rows = [(name, value) for name, value in order_document.items() if not isinstance(value, dict | list)]
    output.out().print(output.table(("FIELD", "VALUE"), rows, title=f"order {order_document['order_number']} placed"))
    output.note(f"follow it with: sandbox journal --key {order_document['order_number']}")


def _refused(problem: dict[str, Any]) -> None:
    output.error(f"the shop refused: {problem['status']} {problem['title']}: {problem['detail']}")
    for field in problem.get("errors", ()):
        output.note(f"  {field['pointer']}: {field['detail']}")
