"""What rules know of a project's systems, read from their specs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sandbox.annotations import PersonalMap
from sandbox.inference import fields_of
from sandbox.model import PROBLEM
from sandbox.pointer import resolve
from sandbox.rules.facts import Facts, OperationFacts, PersonalPaths
from sandbox.spec import Operation, Spec

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_IDEMPOTENT: Final = frozenset({"PUT", "DELETE"})
READING_VERBS: Final = ("read", "get", "retrieve")
_SINCE: Final = ("since", "modified", "changed", "updated")
_NESTED: Final = ("allOf", "anyOf", "oneOf")


def facts_of(specs: Iterable[Spec]) -> Facts:
    """The facts of all systems of a project; made once, good for every run."""
    specs = list(specs)
    return Facts(
        operations={
            (spec.name, operation.id): _operation(spec, operation)
            for spec in specs
            for operation in spec.operations.values()
        },
        records={
            (spec.name, name): _paths(PersonalMap([collection.schema], spec.document))
            for spec in specs
            for name, collection in spec.collections.items()
        },
        renewable=frozenset(spec.name for spec in specs if spec.token_operation is not None),
        subscribing=frozenset(spec.name for spec in specs if spec.subscribe_operations),
    )


def is_safe(operation: Operation) -> bool:
    """Whether an operation changes nothing: by its method, or because it only searches."""
    meaning = operation.meaning
    reads = meaning.action == "search" or (meaning.action == "batch" and meaning.verb in READING_VERBS)
    return operation.method in _SAFE or reads or (operation.method == "POST" and operation.path.endswith("/search"))


def is_natural(spec: Spec, operation: Operation) -> bool:
    """Whether an operation may be repeated without an idempotency key, and no harm done."""
    action = operation.meaning.action
    if is_safe(operation) or operation.method in _IDEMPOTENT or action in ("token", "patch"):
        return True
    if action == "create":
        return _has_natural_key(spec, operation)
    # Moving an addressed record to a state (pay, void, cancel) says nothing that a second time could add.
    moves = operation.method == "POST" and operation.meaning.id_parameter is not None and operation.body is None
    return moves and operation.success_status != 201


def _has_natural_key(spec: Spec, operation: Operation) -> bool:
    """Whether what is created has a unique key of the caller's: its id, or one that a 409 says who has it."""
    collection = spec.collections.get(operation.meaning.collection or "")
    if collection is None:
        return False
    named = f"$request.body#/{collection.id_field}"
    refusal = operation.responses.get("409")
    media = None if refusal is None else refusal.media(PROBLEM)
    members = {} if media is None else fields_of(media.schema, spec.document)
    return named in operation.business_key or bool(members.keys() & ({"existing", collection.id_field} - {"id"}))


def _operation(spec: Spec, operation: Operation) -> OperationFacts:
    meaning = operation.meaning
    since = (p.name for p in operation.parameters if p.location == "query" and any(word in p.name for word in _SINCE))
    return OperationFacts(
        system=spec.name,
        id=operation.id,
        method=operation.method,
        safe=is_safe(operation),
        natural=is_natural(spec, operation),
        creates=meaning.action == "create",
        lists=meaning.action == "list",
        collection=meaning.collection,
        secured=bool(operation.security),
        token=meaning.action == "token",
        since=next(since, None),
        purposes=frozenset(operation.purposes),
        personal=_paths(operation.personal("request")),
        answered=_paths(operation.personal("response")),
        names=_names(spec, operation),
    )


def _paths(personal: PersonalMap) -> PersonalPaths:
    return tuple(
        (tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]), frozenset(purposes))
        for pointer, purposes in personal.paths
    )


def _names(spec: Spec, operation: Operation) -> frozenset[bytes] | None:
    """All names of fields that a request may have, wherever they stand; None when it takes no JSON."""
    if operation.body is None:
        return None
    found: set[str] = set()
    seen: set[int] = set()
    stack: list[Any] = [media.schema for media in operation.body.content.values()]
    while stack:
        schema = resolve(spec.document, stack.pop())
        if not isinstance(schema, Mapping) or id(schema) in seen:
            continue
        seen.add(id(schema))
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            found.update(map(str, properties))
            stack.extend(properties.values())
        stack += [schema.get("items"), schema.get("additionalProperties")]
        for keyword in _NESTED:
            parts = schema.get(keyword)
            stack.extend(parts if isinstance(parts, list) else ())
    return frozenset(name.encode() for name in found)
