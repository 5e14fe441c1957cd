"""Faults on deliveries of webhooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

import orjson

from sandbox.errors import PlanError
from sandbox.faults.base import Delivery, DeliveryFault, Message
from sandbox.faults.parameters import choice, whole
from sandbox.model import NO_KEY, dump
from sandbox.plan import seconds
from sandbox.signing import Seal, backdated, new_secret, rotated, signed_by, unsigned

_MOST_COPIES: Final = 100
_OTHER_DIGITS: Final = str.maketrans("0123456789", "9876543210")


class Undisturbed(DeliveryFault):
    """The event is handed over as it should be, whatever the weather."""

    name = "none"

    async def apply(self, delivery: Delivery) -> None:
        await delivery.send()


class Duplicate(DeliveryFault):
    """The same event is handed over again, each time signed when it leaves.

    Args of `with:`
        after: The span from the event to its copy, and from each copy to the next.
        times: How many copies there are.
    """

    name = "duplicate"

    def configure(self, after: Any = 0.0, times: Any = 1) -> None:
        self.after = seconds(after, "after")
        self.times = whole(times, "times", 1)
        if self.times > _MOST_COPIES:
            raise PlanError(f"times: {times} copies are too many", f"write at most {_MOST_COPIES}")

    async def apply(self, delivery: Delivery) -> None:
        await delivery.send()
        for number in range(1, self.times + 1):
            delivery.send_extra(number * self.after)


class ConcurrentDuplicate(DeliveryFault):
    """The same event is handed over twice at the same moment, neither waiting for the other's answer."""

    name = "concurrent_duplicate"

    async def apply(self, delivery: Delivery) -> None:
        delivery.send_beside()
        await delivery.send()


class Delay(DeliveryFault):
    """The event leaves late, signed at its departure; others to the subscriber overtake it.

    Args of `with:`
        by: The span.
    """

    name = "delay"

    def configure(self, by: Any = 60.0) -> None:
        self.by = seconds(by, "by")

    async def apply(self, delivery: Delivery) -> None:
        delivery.postpone(self.by)


class Reorder(DeliveryFault):
    """The event arrives right after a newer one that the same subscriber accepts.

    Args of `with:`
        longest: The span after which it leaves although nothing newer came.
    """

    name = "reorder"

    def configure(self, longest: Any = 60.0) -> None:
        self.longest = seconds(longest, "longest")

    async def apply(self, delivery: Delivery) -> None:
        delivery.hold(self.longest)


class Drop(DeliveryFault):
    """The event is never handed over, and nobody tries again."""

    name = "drop"

    async def apply(self, delivery: Delivery) -> None:
        delivery.drop()


class Forged(DeliveryFault):
    """After the event, somebody hands over one that looks like it, about a business key that the shop does not have.

    Args of `with:`
        how: `unsigned`, `wrong_signature` (made with another secret), or `old_timestamp` (rightly signed).
        age: How long past the old timestamp is.
    """

    name = "forged"

    def configure(self, how: Any = "wrong_signature", age: Any = 86400.0) -> None:
        self.how = choice(how, "how", tuple(_FORGERIES))
        self.age = seconds(age, "age")

    async def apply(self, delivery: Delivery) -> None:
        await delivery.send()
        real, chance = delivery.message, delivery.chance
        prefix, _, letters = real.id.rpartition("_")
        forged = replace(
            _about(_another(real.key, delivery.knows), real),
            id=f"{prefix}_{''.join(chance.sample(letters, len(letters)))}",
            seal=_FORGERIES[self.how](self.age, chance),
        )
        delivery.send_extra(message=forged)


_FORGERIES: Final[dict[str, Callable[[float, Random], Seal]]] = {
    "unsigned": lambda _age, _chance: unsigned,
    "wrong_signature": lambda _age, chance: signed_by(new_secret(chance)),
    "old_timestamp": lambda age, _chance: backdated(age),
}


def _another(key: str, known: Callable[[str], bool]) -> str:
    # Every digit changes, so that a whole series of order numbers has no number in common with its forgeries.
    other = key.translate(_OTHER_DIGITS)
    while other == key or known(other):
        other = f"0{other}"
    return other


def _about(key: str, real: Message) -> Message:
    payload = orjson.loads(real.body)
    data = payload.get("data")
    if real.key != NO_KEY:
        payload["data"] = _renamed(data, real.key, key)
    elif isinstance(data, dict) and isinstance(data.get("id"), str):
        payload["data"] = _renamed(data, data["id"], _another(data["id"], lambda _: False))
    return replace(real, key=key if real.key != NO_KEY else NO_KEY, body=dump(payload))


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {name: _renamed(item, old, new) for name, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, old, new) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and str(value) == old:
        return int(new)
    return new if value == old else value


class Rotated(DeliveryFault):
    """The event bears two signatures, as while its secret is rotated; the second one is valid."""

    name = "rotated"

    async def apply(self, delivery: Delivery) -> None:
        await delivery.send(replace(delivery.message, seal=rotated(new_secret(delivery.chance))))


class Respaced(DeliveryFault):
    """The body has other white space than usual, and is rightly signed."""

    name = "respaced"

    async def apply(self, delivery: Delivery) -> None:
        spaced = orjson.dumps(
            orjson.loads(delivery.message.body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        )
        await delivery.send(replace(delivery.message, body=spaced))
