"""Other names for the same things: a program that lives through many runs must not take one for another.

In each run the same order has the same number, the same buyer and the same ids, for they follow from the plan alone. A
program that remembers would rightly take the second run for a repetition of the first. So it hears of everything under
names of that run, and what it says is understood by them: order numbers and ids become others of the same shape, e-mail
addresses get a mark before the @. The names also tell which run a call is about, however late it comes.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable
from typing import Final

_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_DIGITS: Final = "0123456789"
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
_HEX: Final = "0123456789abcdef"
# What the mocks make up themselves, and what looks so.
_ID: Final = rf"(?<![A-Za-z0-9])[a-z]{{1,20}}_[{_ALPHABET}]{{12}}(?![A-Za-z0-9])"
_UUID: Final = r"(?<![0-9a-f-])[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(?![0-9a-f-])"
_EMAIL: Final = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}(?:@|%(?:25)*40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
_PARTS: Final = re.compile(rf"(.*?)(?:\.(q[{_ALPHABET}]{{6}}))?((?:@|%(?:25)*40).*)")
# Of a name given by somebody else, so many last letters and digits change; with fewer there would be too few names.
_CHANGED: Final = 6
_FEWEST: Final = 4


def can_be_renamed(name: str) -> bool:
    """Whether there are enough names of the same shape."""
    return name.isascii() and sum(map(str.isalnum, name)) >= _FEWEST


class Aliases:
    """The names by which one program knows what belongs to its runs; a run is a number."""

    def __init__(self) -> None:
        self._meant: dict[str, tuple[int, str]] = {}
        self._aliases: dict[tuple[int, str], str] = {}
        self._marks: dict[str, int] = {}
        self._given: dict[int, frozenset[str]] = {}
        self._own: dict[int, set[str]] = {}
        self._shapes: tuple[str, ...] = ()
        self._pattern = _pattern(())

    def begin(self, run: int, given: Iterable[str]) -> None:
        """A run begins.

        Args:
            given: The names that its workload gives, such as order numbers.
        """
        names = frozenset(filter(can_be_renamed, given))
        self._given[run], self._own[run] = names, set()
        self._marks[_mark(run)] = run
        shapes = tuple(dict.fromkeys((*self._shapes, *map(_shape, sorted(names)))))
        if shapes != self._shapes:
            self._shapes, self._pattern = shapes, _pattern(shapes)

    def outward(self, run: int, text: str) -> str:
        """What the program hears in place of a text of a run."""

        def tell(found: re.Match[str]) -> str:
            name, kind = found[0], found.lastgroup
            if name in self._own[run] or (kind == "given" and name not in self._given[run]):
                return name
            return _PARTS.sub(rf"\1.{_mark(run)}\3", name) if kind == "email" else self._alias(run, name, kind)

        return self._pattern.sub(tell, text)

    def inward(self, run: int, text: str) -> tuple[str, set[int]]:
        """What the program means by a text.

        Args:
            run: The one that it is in; names of the program's own come back to it as they are.

        Returns:
            The text in the names of all runs, and which runs it is about.
        """
        about: set[int] = set()

        def understand(found: re.Match[str]) -> str:
            name = found[0]
            if found.lastgroup == "email":
                parts = _PARTS.fullmatch(name)
                meant = None if parts is None or parts[2] not in self._marks else (parts[2], f"{parts[1]}{parts[3]}")
                its_run, plain = (None, name) if meant is None else (self._marks[meant[0]], meant[1])
            else:
                its_run, plain = self._meant.get(name, (None, name))
            if its_run is None:
                if found.lastgroup != "given" and (run, name) not in self._aliases:
                    self._own[run].add(name)
            else:
                about.add(its_run)
            return plain

        return self._pattern.sub(understand, text), about

    def _alias(self, run: int, name: str, kind: str | None) -> str:
        alias = self._aliases.get((run, name))
        if alias is None:
            chance = random.Random(f"{run} {name}")
            drawn = (_other(name, kind, chance) for _ in itertools.count())
            alias = next(one for one in drawn if one not in self._meant and one not in self._given[run])
            self._aliases[run, name], self._meant[alias] = alias, (run, name)
        return alias


def _mark(run: int) -> str:
    return "q" + "".join(random.Random(f"mark {run}").choices(_ALPHABET, k=6))


def _pattern(shapes: Iterable[str]) -> re.Pattern[str]:
    given = "|".join(shapes) or r"(?!)"
    return re.compile(rf"(?P<email>{_EMAIL})|(?P<uuid>{_UUID})|(?P<id>{_ID})|(?P<given>{given})")


def _shape(name: str) -> str:
    """A pattern for the names that differ from one in their last letters and digits."""
    changing = _changing(name)
    middle = "".join(rf"[{_class(char)}]" if n in changing else re.escape(char) for n, char in enumerate(name))
    before = "(?<![0-9])" if name[0].isdigit() else "(?<![A-Za-z])" if name[0].isalpha() else ""
    after = "(?![0-9])" if name[-1].isdigit() else "(?![A-Za-z])" if name[-1].isalpha() else ""
    return f"{before}{middle}{after}"


def _changing(name: str) -> frozenset[int]:
    return frozenset([n for n, char in enumerate(name) if char.isalnum()][-_CHANGED:])


def _class(char: str) -> str:
    return _DIGITS if char.isdigit() else _LOWER.upper() if char.isupper() else _LOWER


def _other(name: str, kind: str | None, chance: random.Random) -> str:
    if kind == "id":
        prefix, _, rest = name.rpartition("_")
        return f"{prefix}_{''.join(chance.choices(_ALPHABET, k=len(rest)))}"
    if kind == "uuid":
        # The two digits that say which kind of UUID it is stay.
        return "".join(c if c == "-" or n in (14, 19) else chance.choice(_HEX) for n, c in enumerate(name))
    changing = _changing(name)
    return "".join(chance.choice(_class(char)) if n in changing else char for n, char in enumerate(name))
