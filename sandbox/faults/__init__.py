"""Faults: the registry of their names, and the board of those armed in a world."""

from __future__ import annotations

from sandbox.faults.base import CallFault, DeliveryFault, Outcome, Send, Silence
from sandbox.faults.board import Armed, Arrival, Board
from sandbox.faults.registry import CALL_FAULTS, DELIVERY_FAULTS

__all__ = [
    "CALL_FAULTS",
    "DELIVERY_FAULTS",
    "Armed",
    "Arrival",
    "Board",
    "CallFault",
    "DeliveryFault",
    "Outcome",
    "Send",
    "Silence",
]
