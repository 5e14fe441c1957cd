"""Faults: the registry of their names, and the board of those armed in a world."""

from __future__ import annotations

from sandbox.faults.base import CallFault, DeliveryFault, Outcome, Send, Silence
from sandbox.faults.board import Armed, Board
from sandbox.faults.registry import CALL_FAULTS, DELIVERY_FAULTS, nearest, read_injection

__all__ = [
    "CALL_FAULTS",
    "DELIVERY_FAULTS",
    "Armed",
    "Board",
    "CallFault",
    "DeliveryFault",
    "Outcome",
    "Send",
    "Silence",
    "nearest",
    "read_injection",
]
