"""What stands behind the pytest plugin: a world for a test, what can be asked of it, and plans as tests.

Tests need these names for annotations only: `def test_it(sandbox: Sandbox) -> None`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.rules import Call
    from sandbox.testing.exploration import Case
    from sandbox.testing.systems import Refused
    from sandbox.testing.world import Sandbox

__all__ = ["Call", "Case", "Refused", "Sandbox"]

_HOMES = {
    "Call": "sandbox.rules",
    "Case": "sandbox.testing.exploration",
    "Refused": "sandbox.testing.systems",
    "Sandbox": "sandbox.testing.world",
}


def __getattr__(name: str) -> Any:
    # A test of a world must not wait for what explores.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
