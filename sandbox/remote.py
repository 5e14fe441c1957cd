"""References to other machines, for those who allow them."""

from __future__ import annotations

from typing import Final
from urllib.error import URLError
from urllib.request import Request, urlopen

from sandbox.errors import SpecError

TIME_LIMIT: Final = 20.0
LARGEST: Final = 64 * 1024 * 1024


def fetch(url: str) -> bytes:
    """The content at an http or https URL.

    Raises:
        SpecError: it cannot be had, or is larger than 64 MiB.
    """
    if not url.startswith(("http://", "https://")):
        raise SpecError(f"{url}: only http and https can be fetched", "copy the file beside the spec")
    try:
        with urlopen(Request(url, headers={"Accept": "*/*"}), timeout=TIME_LIMIT) as answer:  # noqa: S310 - http(s) only
            content: bytes = answer.read(LARGEST + 1)
    except (URLError, OSError, ValueError) as error:
        raise SpecError(
            f"{url}: cannot be fetched: {error}", "check the URL, or copy the file beside the spec"
        ) from None
    if len(content) > LARGEST:
        raise SpecError(f"{url}: larger than {LARGEST} bytes", "copy the part that is needed beside the spec")
    return content
