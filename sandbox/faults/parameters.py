"""The `with:` of a fault: names and values, checked in one line each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.errors import PlanError, nearest


def take(name: str, configure: Callable[..., None], parameters: Mapping[str, Any]) -> None:
    """Hand the parameters of the fault `name` to its `configure`.

    A word that Python keeps to itself has an underscore there: `for` is its argument `for_`.

    Raises:
        PlanError: for one that it does not take, with the nearest that it does.
    """
    known = {argument.removesuffix("_"): argument for argument in inspect.signature(configure).parameters}
    for parameter in parameters:
        if parameter not in known and parameter not in known.values():
            hint = nearest(str(parameter), list(known)) if known else "leave with: out"
            raise PlanError(f"with: {name} takes no {parameter!r}", hint)
    configure(**{known.get(parameter, parameter): value for parameter, value in parameters.items()})


def whole(value: Any, where: str, least: int = 0) -> int:
    """A whole number.

    Raises:
        PlanError: when it is none, or less than `least`.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise PlanError(f"{where}: {value!r} is not a whole number from {least}", f"write {where}: {max(least, 1)}")


def number(value: Any, where: str, most: float) -> float:
    """A number from 0 to `most`.

    Raises:
        PlanError: when it is none.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most:
        return float(value)
    raise PlanError(f"{where}: {value!r} is not a number from 0 to {most:g}", f"write {where}: 0.5")


def choice(value: Any, where: str, names: Sequence[Any]) -> Any:
    """One of a few values.

    Raises:
        PlanError: when it is none of them.
    """
    if not isinstance(value, bool) and value in names:
        return value
    raise PlanError(f"{where}: {value!r} is none of {', '.join(map(str, names))}", f"write {where}: {names[0]}")


def text(value: Any, where: str, longest: int = 2000) -> str:
    """A text of one line that fits in a header.

    Raises:
        PlanError: when it is none.
    """
    if isinstance(value, str) and 0 < len(value) <= longest and value.isascii() and value.isprintable():
        return value
    raise PlanError(f"{where}: {value!r:.60} is not a line of ASCII text", f"write at most {longest} characters")
