"""What the suites of `contracts/` use: a provider, wherever it is, and a workbench that makes valid requests of it."""

from __future__ import annotations

from sandbox.probe.mock import MockWorld
from sandbox.probe.provider import Provider, Request
from sandbox.probe.receiver import Receiver
from sandbox.probe.workbench import Workbench

__all__ = ["MockWorld", "Provider", "Receiver", "Request", "Workbench"]
