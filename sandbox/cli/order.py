"""`sandbox order`: place an order with the running shop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import click
import httpx

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
        if "shop" not in specs:
            raise SandboxError(
                f"this project has no shop; its systems are: {', '.join(specs)}", "name another: --project"
            )
        shop = access(specs.values(), client.url, client.seed(), world).systems["shop"]
        headers = {"content-type": "application/json", "x-shop-api-key": shop["api_key"]}
        answer = client.call("POST", f"{shop['url']}/orders", headers=headers, body=body)
    document = _document(answer)
    if as_json:
        output.print_json(document)
    elif answer.is_success:
        _show(document)
    if not answer.is_success:
        _refused(answer, document)
        context.exit(REFUSED)


def _document(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; of a redirect, which needs none, an empty one.

    Raises:
        SandboxError: It is something else, as a fault may have it; the order may be placed nevertheless.
    """
    if answer.is_redirect:
        return {}
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise SandboxError(f"the shop's answer {answer.status_code} is no JSON object", "look at: sandbox state shop")
    return document


def _read(file: BinaryIO) -> bytes:
    """The file's bytes, which must be JSON; what the JSON says is for the shop to judge."""
    body = file.read()
    try:
        json.loads(body)
    except ValueError as error:
        raise SandboxError(f"{file.name}: not JSON: {error}", "an order looks like: " + json.dumps(DOCUMENT)) from error
    return body


def _show(order_document: dict[str, Any]) -> None:
    number = order_document.get("order_number", "")
    rows = [(name, value) for name, value in order_document.items() if not isinstance(value, dict | list)]
    output.out().print(output.table(("FIELD", "VALUE"), rows, title=f"order {number} placed"))
    output.note(f"follow it with: sandbox journal --key {number}")


def _refused(answer: httpx.Response, problem: dict[str, Any]) -> None:
    why = problem.get("detail") or answer.headers.get("location", "")
    output.error(f"the shop refused: {answer.status_code} {answer.reason_phrase}: {why}")
    for field in problem.get("errors", ()):
        output.note(f"  {field['pointer'] or 'body'}: {field['detail']}")
