"""One address behind which fresh worlds follow each other, for a program that lives through many runs.

The program keeps its URLs, its tokens and its webhook subscriptions. It meets each world under names of that world's
own (`sandbox.aliases`), so a call that comes late, about something of an earlier world, reaches that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from sandbox.aliases import Aliases
from sandbox.exchange import Exchange
from sandbox.model import Answer
from sandbox.outbox import SUBSCRIPTIONS
from sandbox.stored import Query, Record
from sandbox.tables import tokens
from sandbox.world import World, Worlds

_TEXTS: Final = ("json", "text/", "xml", "urlencoded")
_MOST_NOTED: Final = 100
Indexed = Mapping[str, Mapping[str, frozenset[str]]]
"""By system and collection, the fields that queries may ask for."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A call that is of no system of the project."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Late:
    """A call for a world that is no longer in front.

    Attributes:
        world: Its name.
        at: When the call came, in unix seconds.
    """

    world: str
    at: float
    method: str
    path: str


class Front:
    """The worlds behind one address, the last one in front.

    Args:
        indexed: Of all systems.
        first: The world that has been there until now.

    Attributes:
        late: The first calls that came for a world after another one had taken its place.
        strays: The first calls that were of no system.
    """

    def __init__(self, worlds: Worlds, indexed: Indexed, first: World) -> None:
        self._worlds = worlds
        self._indexed = indexed
        self._aliases = Aliases()
        self._aliases.begin(0, ())
        self._row = [first]
        self.late: list[Late] = []
        self.strays: list[Stray] = []

    @property
    def world(self) -> World:
        return self._row[-1]

    def begin(self, name: str, seed: int, given: Iterable[str]) -> World:
        """Put a fresh world in front; tokens and webhook subscriptions of the one before are good in it, too.

        Args:
            given: The names that its workload gives, such as order numbers.
        """
        world = self._worlds.create(name, seed)
        self._aliases.begin(len(self._row), given)
        world.outbox.tell = partial(self._tell, len(self._row))
        # What is left to deliver would be an event of the past.
        self.world.outbox.close()
        self._hand_over(self.world, world)
        self._row.append(world)
        return world

    def end(self) -> None:
        """Forget all its worlds but the one that was there at first."""
        for world in self._row[1:]:
            self._worlds.delete(world.name)
        del self._row[1:]

    def understand(self, text: str) -> str:
        """A text of the program in the names of the worlds."""
        return self._aliases.inward(self._run_of(self.world), text)[0]

    def enter(self, exchange: Exchange) -> None:
        """Understand the head of a call, and find the world that it is about."""
        exchange.front = self
        run = self._run_of(self.world)
        exchange.path, about = self._aliases.inward(run, exchange.path)
        exchange.query, also = self._aliases.inward(run, exchange.query)
        heads = [(name, *self._aliases.inward(run, value)) for name, value in exchange.headers]
        exchange.headers = tuple((name, value) for name, value, _ in heads)
        self._place(exchange, about | also or set[int]().union(*(runs for _, _, runs in heads)))

    def read(self, exchange: Exchange) -> None:
        """Understand the body of a call, which may say which world it is about where its head did not."""
        text, about = self._aliases.inward(self._run_of(exchange.world), exchange.raw.decode("latin-1"))
        exchange.raw = text.encode("latin-1")
        if exchange.world is self.world:
            self._place(exchange, about)
        if exchange.world is not self.world and len(self.late) < _MOST_NOTED:
            world = exchange.world
            self.late.append(Late(world.name, world.clock.now(), exchange.method, exchange.path))

    def answer(self, exchange: Exchange, answer: Answer) -> Answer:
        """What the program hears in place of an answer."""
        run = self._run_of(exchange.world)
        headers = tuple((name, self._aliases.outward(run, value)) for name, value in answer.headers)
        kind = (answer.header("content-type") or "").lower()
        body = self._tell(run, answer.body) if any(text in kind for text in _TEXTS) else answer.body
        return replace(answer, headers=headers, body=body)

    def stray(self, method: str, path: str) -> None:
        """A call was of no system."""
        if len(self.strays) < _MOST_NOTED:
            self.strays.append(Stray(method[:20], path[:200]))

    def _tell(self, run: int, body: bytes) -> bytes:
        return self._aliases.outward(run, body.decode("latin-1")).encode("latin-1")

    def _run_of(self, world: World) -> int:
        return self._row.index(world)

    def _place(self, exchange: Exchange, about: set[int]) -> None:
        latest = len(self._row) - 1
        exchange.world = self._row[max(about, default=latest)]

    def _hand_over(self, before: World, after: World) -> None:
        """Let tokens and webhook subscriptions of one world be good in another."""
        old, new = before.transaction(), after.transaction()
        for value, token in before.tokens.items():
            new.add(tokens, token=value, system=token.system, principal=token.principal, expires=token.expires)
            after.tokens[value] = token
            after.redactor.learn(value, token.system)
        for stored_as in old.collections():
            system, _, name = stored_as.partition(".")
            if name == SUBSCRIPTIONS:
                indexed = self._indexed.get(system, {}).get(name, frozenset())
                for record in old.query(stored_as, Query({}), frozenset()):
                    seq = new.next_seq(stored_as)
                    new.write(Record(stored_as, record.id, seq, record.version, record.updated, record.raw), indexed)
        new.commit()


__all__ = ["Front", "Late", "Stray"]
