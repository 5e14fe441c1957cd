"""What must be true in the end, in this project. A run is judged by these functions, and by `sandbox chaos rules`.

Each is a function that looks at a run and yields what is wrong. `run.records(system, collection)` are the records that
were left; `run.calls` is what your program sent, with `call.system`, `.operation`, `.key`, `.at`, `.applied`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sandbox import NotExercised, Run, Violation, invariant


@invariant("X01", severity="W", source="sandbox init; make it your own")
def nothing_is_created_twice(run: Run) -> Iterator[Violation]:
    """No program creates two equal things for one business key."""
    created = Counter(
        (call.name, call.key, repr(call.body))
        for call in run.calls
        if call.key != "-" and any(change["action"] == "create" for change in call.changes)
    )
    if not created:
        raise NotExercised
    for (name, key, _), count in created.items():
        if count > 1:
            yield Violation(f"{name} created the same thing {count} times for {key}", key=key)
