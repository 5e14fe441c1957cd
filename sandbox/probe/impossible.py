"""Why a suite cannot ask what it wants to ask."""

from __future__ import annotations


class Impossible(Exception):
    """A specification that does not say how a valid request of an operation is made; the message is the reason.

    Attributes:
        blames: Whether the provider is to blame: it refused what its specification shows, or failed.
    """

    def __init__(self, message: str, *, blames: bool = False) -> None:
        super().__init__(message)
        self.blames = blames
