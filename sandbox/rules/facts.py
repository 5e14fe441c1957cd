"""What rules know of the systems: plain data, made of the specs by `sandbox.facts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Path = tuple[str, ...]
PersonalPaths = tuple[tuple[Path, frozenset[str]], ...]
Tree = dict[str, Any]

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_NATURAL: Final = _SAFE | {"PUT", "DELETE"}
NO_OPERATION: Final = "-"


@dataclass(frozen=True, slots=True)
class OperationFacts:
    """One operation.

    Attributes:
        safe: It changes nothing: by its method (RFC 9110, section 9.2.1), or because it only searches.
        natural: Repeating it is harmless without an idempotency key: by its method (section 9.2.2), because it moves a
            record to a state, or because what it creates has a key of its own that is unique.
        creates: It creates a record.
        lists: It lists records.
        collection: What it is about, where the spec says.
        secured: It wants a credential.
        token: It hands out access tokens.
        since: The query parameter that asks for changes since a moment, if there is one.
        purposes: For which it receives personal data.
        personal: The personal fields of its request, each with the purposes it serves; `*` is any index or name.
        answered: Those of its answers.
        tree: The personal fields of its request by name, place within place; at the end of each way its purposes.
        names: All names of fields that its request may have, as bytes of JSON; None where nothing is known.
    """

    system: str
    id: str
    method: str
    safe: bool
    natural: bool
    creates: bool = False
    lists: bool = False
    collection: str | None = None
    secured: bool = True
    token: bool = False
    since: str | None = None
    purposes: frozenset[str] = frozenset()
    personal: PersonalPaths = ()
    answered: PersonalPaths = ()
    names: frozenset[bytes] | None = None
    tree: Tree = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tree: Tree = {}
        for path, serves in self.personal:
            place = tree
            for name in path[:-1]:
                place = place.setdefault(name, {})
            if path:
                place[path[-1]] = serves
        object.__setattr__(self, "tree", tree)

    @classmethod
    def guess(cls, system: str, operation: str, method: str) -> OperationFacts:
        """What the method alone tells."""
        return cls(system, operation, method, method in _SAFE, method in _NATURAL)


@dataclass(frozen=True, slots=True)
class Facts:
    """All systems.

    Attributes:
        operations: By system and operationId.
        records: By system and collection, the personal fields of a record.
        renewable: The systems whose credential is a token that can be fetched anew.
        subscribing: The systems that take webhook subscriptions, and with them the secret that signs.
    """

    operations: Mapping[tuple[str, str], OperationFacts] = field(default_factory=dict)
    records: Mapping[tuple[str, str], PersonalPaths] = field(default_factory=dict)
    renewable: frozenset[str] = frozenset()
    subscribing: frozenset[str] = frozenset()

    def of(self, system: str, operation: str, method: str) -> OperationFacts:
        """The facts of an operation, as far as they are known."""
        found = self.operations.get((system, operation))
        return found if found is not None else OperationFacts.guess(system, operation, method)
