"""Schemathesis, with all its checks and ours: what is asked and answered is what the specification says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.probe import Provider
from sandbox.probe.schemathesis import run_schemathesis
from sandbox.probe.target import Target


def test_every_operation_keeps_to_its_schema(
    provider: Provider, target: Target, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if provider.world is not None:
        # Its time stands still, so that the same requests get the same answers each time.
        provider.world.freeze()
    result = run_schemathesis(provider, target.contracts, tmp_path, target.examples, target.options)
    record_property("told", str(result))
    if result.code != 0:
        pytest.fail(result.output, pytrace=False)
