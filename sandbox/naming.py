"""Names for operations that have none."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator


def free_name(method: str, path: str, taken: Iterable[str]) -> str:
    """The name of an operation without one, stable as long as its path is; with a number when it is taken."""
    made = named(method, path)
    return next(one for one in _numbered(made) if one not in taken)


def named(method: str, path: str) -> str:
    """A name for an operation without one: `GET /orders/{id}/lines` is `get_orders_by_id_lines`."""
    words = [method]
    for segment in path.strip("/").split("/"):
        words += [f"by_{part}" if index % 2 else part for index, part in enumerate(re.split(r"[{}]", segment)) if part]
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", "_".join(words))
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name}_{number}"
