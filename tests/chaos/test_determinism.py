"""The same plan gives the same journal, byte for byte: ten concurrent orders, faults and weather, on virtual time."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys

import orjson
import pytest

from sandbox.chaos.reference import ReferenceSubject
from sandbox.chaos.runner import Runner
from sandbox.chaos.scenario import read_scenario
from sandbox.layout import reference_root
from sandbox.plan_file import parse_plan
from sandbox.project import Project

PLAN = """
scenario: ten-orders
seed: 7
faults:
- on: {system: accounting, operation: create_invoice, key: "2025-5003"}
  inject: timeout
  effect: applied
- on: {event: order.paid, key: "2025-5005"}
  inject: concurrent_duplicate
- on: {system: shipping, operation: create_shipment, key: "2025-5007"}
  inject: crash
  effect: applied
weather:
- on: {system: accounting}
  inject: server_error
  rate: 10 %
- on: {system: crm}
  inject: slow
  with: {distribution: exponential, mean: 2s}
  rate: 20 %
- on: {event: order.paid}
  inject: duplicate
  rate: 20 %
"""


def digests(times: int) -> list[str]:
    """A digest of the journal for each of so many runs of the plan."""
    logging.disable(logging.CRITICAL)
    try:
        runner = Runner(Project.load(reference_root()), ReferenceSubject())
        plan = parse_plan(PLAN)
        scenario = read_scenario(reference_root() / "contracts" / "scenarios" / "ten-orders.yaml")
        found = []
        for _ in range(times):
            record = runner.run(plan, scenario)
            assert record.complete
            assert all(armed.fired for armed in record.armed if armed.weather is None)
            assert len(record.state["accounting"]["invoices"]) == len(record.state["shipping"]["shipments"]) == 10
            found.append(hashlib.sha256(orjson.dumps(record.journal)).hexdigest())
        return found
    finally:
        logging.disable(logging.NOTSET)


def test_twenty_runs_are_one() -> None:
    assert len(set(digests(20))) == 1


def test_another_process_with_another_hash_seed() -> None:
    """Nothing may depend on the order of sets, on ids of objects, or on what ran before."""
    program = "from tests.chaos.test_determinism import digests; print(digests(1)[0])"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(reference_root())},
            cwd=reference_root(),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert printed == {f"{digests(1)[0]}\n"}


@pytest.mark.slow
def test_a_thousand_runs_are_one() -> None:
    assert len(set(digests(1000))) == 1
