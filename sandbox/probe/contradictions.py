"""Where a specification says two things that cannot both be true; no provider can keep to both."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.probe.bodies import examples
from sandbox.spec import Operation, Spec


def contradictions(spec: Spec) -> Iterator[str]:
    """What a specification says of its requests against itself, a sentence each."""
    for operation in spec.operations.values():
        name = f"{spec.name}.{operation.id}"
        served, _ = spec.match(operation.method, operation.path)
        if served is not None and served is not operation:
            yield f"{name}: the spec says both: its path is its own, and that of {served.id}, which is served"
        for pointer, detail in _examples(spec, operation):
            yield f"{name}: the spec says both: its example is a valid body, and {pointer or 'the body'} {detail}"


def _examples(spec: Spec, operation: Operation) -> Iterator[tuple[str, str]]:
    """The first error of each example that does not keep its own schema."""
    for media, value in examples(spec, operation):
        errors = media.validator.errors(value) if media.validator is not None else []
        if errors:
            yield errors[0].pointer, errors[0].detail
