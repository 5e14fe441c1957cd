"""How a request proves whose it is. A credential belongs to one system and never leaves for another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from sandbox.clock import Clock

__all__ = ["AccessToken", "Credential", "StaticKey"]


class Credential(ABC):
    """What is sent along with every request to one system."""

    @abstractmethod
    def headers(self) -> dict[str, str]:
        """The headers that carry the credential.

        Raises:
            Failure: when it has to be fetched first, and that failed.
        """

    @abstractmethod
    def renew(self) -> bool:
        """React to a 401: forget what can be fetched anew. Says whether another try makes sense."""


class StaticKey(Credential):
    """A key from the settings; when it is refused, only a person can mend it."""

    def __init__(self, header: str, value: str) -> None:
        self._headers = {header: value}

    def headers(self) -> dict[str, str]:
        return self._headers

    def renew(self) -> bool:
        return False


class AccessToken(Credential):
    """An OAuth 2.0 bearer token that expires (RFC 6749, client credentials; RFC 6750).

    Args:
        fetch: Asks the token endpoint; returns the token and its lifetime in seconds.
        margin: A token is renewed this many seconds before it expires; a short-lived one after half its life.
    """

    def __init__(self, clock: Clock, fetch: Callable[[], tuple[str, float]], margin: float = 10.0) -> None:
        self._clock = clock
        self._fetch = fetch
        self._margin = margin
        self._token = ""
        self._expires = 0.0

    def headers(self) -> dict[str, str]:
        if not self._token or self._clock.now() >= self._expires:
            self._token, lifetime = self._fetch()
            self._expires = self._clock.now() + max(lifetime - self._margin, lifetime / 2)
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        self._token = ""
        return True
