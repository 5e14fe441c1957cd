"""The reference integrator keeps its promise whatever happens to its webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sandbox.inprocess import BASE_URL, InProcess
from sandbox.integrator import Config, Integrator
from sandbox.project import Project

URL = "http://127.0.0.1:9000/webhooks"
ORDER = {"order_number": "2025-4471", "customer": "Example Ltd", "amount_net": 1290.0, "currency": "EUR"}
FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("none", {}),
    ("duplicate", {"after": "3s", "times": 2}),
    ("concurrent_duplicate", {}),
    ("delay", {"by": "1h"}),
    ("reorder", {"longest": "10m"}),
    ("drop", {}),
    ("forged", {"how": "unsigned"}),
    ("forged", {"how": "wrong_signature"}),
    ("forged", {"how": "old_timestamp"}),
    ("rotated", {}),
    ("respaced", {}),
]


@pytest.fixture(scope="module")
def project(checkout: Path) -> Project:
    return Project.load(checkout)


@pytest.fixture
def sandbox(project: Project) -> Iterator[InProcess]:
    sandbox = InProcess(project)
    yield sandbox
    sandbox.close()


@pytest.mark.parametrize(("fault", "parameters"), FAULTS)
def test_one_of_each(sandbox: InProcess, fault: str, parameters: dict[str, Any]) -> None:
    env = sandbox.access().environment()
    config = Config.from_env(env | {"DATA_FILE": ":memory:"})
    integrator = Integrator(config, sandbox.clock(), Random(1), sandbox.session)
    sandbox.mount(URL, integrator.app)
    integrator.subscribe(URL)
    session = sandbox.session()
    document = {"on": {"event": "order.paid", "occurrence": "any"}, "inject": fault, "with": parameters}
    assert session.post(f"{BASE_URL}/_sandbox/worlds/default/faults", json=document).ok
    placed = session.post(
        f"{env['SHOP_URL']}/orders",
        json=ORDER | {"line_items": 3, "paid": True},
        headers={"X-Shop-Api-Key": env["SHOP_API_KEY"]},
    )
    assert placed.status_code == 201
    for _ in range(150):
        sandbox.run(30)
        integrator.worker.step()
    integrator.close()

    world = sandbox.world()
    state = world.state()
    assert [len(state[system][collection]) for system, collection in OUTCOME] == [1, 1, 1, 1]
    deliveries = [entry for entry in world.entries() if entry["kind"] == "delivery"]
    answers = {
        (entry["fault"] or {}).get("inject"): entry["answer"]["status"]
        for entry in deliveries
        if "status" in entry["answer"]
    }
    assert answers.pop("forged", 401) == 401
    assert set(answers.values()) == {204}


OUTCOME = (("crm", "customers"), ("crm", "activities"), ("accounting", "invoices"), ("shipping", "shipments"))
