"""What the suites of `contracts/` use: a provider, wherever it is, and a workbench that makes valid requests of it."""

from __future__ import annotations

from sandbox.probe.envelopes import can_show, record_in, records_in, refusal_types, refused_as, sent_in, shown_fields
from sandbox.probe.provider import Provider, Request
from sandbox.probe.receiver import Receiver
from sandbox.probe.workbench import Workbench, inherited
from sandbox.remote_world import RemoteWorld

__all__ = [
    "Provider",
    "Receiver",
    "RemoteWorld",
    "Request",
    "Workbench",
    "can_show",
    "inherited",
    "record_in",
    "records_in",
    "refusal_types",
    "refused_as",
    "sent_in",
    "shown_fields",
]
