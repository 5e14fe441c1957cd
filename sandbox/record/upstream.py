"""A real API behind the recorder: its name in the project, and where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from sandbox.errors import ServeError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LIKE: Final = "write NAME=URL, such as shop=https://api.shop.example/v2"
# What the first segment of a path means already.
_TAKEN: Final = frozenset({"w"})


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where one system really is.

    Attributes:
        name: Of the system; the first segment of the path under which the recorder serves it.
        url: Its base URL, without a slash at the end.
    """

    name: str
    url: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `NAME=URL`.

        Raises:
            ServeError: when it is none.
        """
        name, equals, url = text.partition("=")
        if not equals or not name or not url:
            raise ServeError(f"{text!r} names no upstream", _LIKE)
        if _NAME.fullmatch(name) is None or name in _TAKEN:
            raise ServeError(f"{name!r} cannot be a system's name in a URL", "use letters, digits, dots and dashes")
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
        except ValueError:
            raise ServeError(f"{url!r} is no URL", _LIKE) from None
        if not usable:
            raise ServeError(f"{url!r} is no http or https URL", _LIKE)
        if parts.username is not None or parts.password is not None:
            # Not echoed: it holds a password.
            raise ServeError(
                f"the URL of {name} holds credentials", "leave them out: the caller's own are passed through"
            )
        if parts.query or parts.fragment:
            raise ServeError(f"{url!r} has a query or a fragment, which no base URL has", _LIKE)
        return cls(name, url.rstrip("/"))

    @classmethod
    def parse_all(cls, texts: Iterable[str]) -> dict[str, Self]:
        """From several `NAME=URL`, by name.

        Raises:
            ServeError: when one is none, or two have one name.
        """
        found: dict[str, Self] = {}
        for text in texts:
            upstream = cls.parse(text)
            if upstream.name in found:
                raise ServeError(f"there are two upstreams for {upstream.name}", "name each system once")
            found[upstream.name] = upstream
        return found
