"""Mock API sandbox and contract-testing toolkit. What a mock (`mocks/NAME.py`) may import stands here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.model import Problem, Reply
    from sandbox.system import Collection, System

__all__ = ["Collection", "Problem", "Reply", "System"]
__version__ = "0.1.0"

_HOMES = {
    "Collection": "sandbox.system",
    "Problem": "sandbox.model",
    "Reply": "sandbox.model",
    "System": "sandbox.system",
}


def __getattr__(name: str) -> Any:
    # The integrator imports `sandbox.clock` alone; it must not pay for the engine.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
