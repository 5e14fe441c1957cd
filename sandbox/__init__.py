"""Mock API sandbox and contract-testing toolkit. What mocks (`mocks/NAME.py`) and contracts may import stands here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.model import Problem, Reply
    from sandbox.rules import Call, Delivery, NotExercised, Run, Violation, invariant
    from sandbox.seeded import SeededFaker
    from sandbox.system import Collection, System

__all__ = [
    "Call",
    "Collection",
    "Delivery",
    "NotExercised",
    "Problem",
    "Reply",
    "Run",
    "SeededFaker",
    "System",
    "Violation",
    "invariant",
]
__version__ = "0.1.0"

_HOMES = {
    "Call": "sandbox.rules",
    "Collection": "sandbox.system",
    "Delivery": "sandbox.rules",
    "NotExercised": "sandbox.rules",
    "Problem": "sandbox.model",
    "Reply": "sandbox.model",
    "Run": "sandbox.rules",
    "SeededFaker": "sandbox.seeded",
    "System": "sandbox.system",
    "Violation": "sandbox.rules",
    "invariant": "sandbox.rules",
}


def __getattr__(name: str) -> Any:
    # The integrator imports `sandbox.clock` alone; it must not pay for the engine.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
