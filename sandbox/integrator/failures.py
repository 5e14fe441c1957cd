"""Why a step did not go on; each kind asks for another reaction.

```
Failure
├── Transient      try again later, with the same idempotency key
├── Postponed      nothing was tried: the system is given a rest
├── Refused        the request will never be accepted as it is: fix the data
└── Unauthorized   the credential is wrong: fix the configuration
```

Messages end up in logs and in the shop, so they hold no personal data: they quote no values.
"""

from __future__ import annotations

__all__ = ["Failure", "Postponed", "Refused", "Transient", "Unauthorized"]


class Failure(Exception):
    """Base of all reasons why a step did not go on."""


class Transient(Failure):
    """A failure that may pass: whether the request took effect is unknown.

    Args:
        reason: What happened, for people.
        not_before: The earliest next try in unix seconds, if the system named one.
    """

    def __init__(self, reason: str, not_before: float | None = None) -> None:
        super().__init__(reason)
        self.not_before = not_before


class Postponed(Failure):
    """A system is given a rest until a time in unix seconds; no request was sent."""

    def __init__(self, system: str, until: float) -> None:
        super().__init__(f"{system} is given a rest")
        self.system = system
        self.until = until


class Refused(Failure):
    """The system will not accept this request, however often it is sent.

    Args:
        status: The HTTP status that said so, if one did.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class Unauthorized(Failure):
    """The system does not accept our credential."""
