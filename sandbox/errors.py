"""Errors that a user of the sandbox can mend; each is one line that says what is wrong, where, and what to do next.

```
SandboxError                 exit code 2
├── SpecError                an OpenAPI file cannot be served
├── ProjectError             a project folder, or a mock in it, does not fit together
├── PlanError                a plan or a fault names something that does not exist
├── ServeError               a port is taken, a database cannot be opened
└── ProviderError            a provider under contract cannot be reached or asked
```

`Problem` (in `sandbox.model`) is no member: it is an answer to a client, not an error of the user.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class SandboxError(Exception):
    """Base of all errors that end a command with exit code 2.

    Args:
        message: What is wrong and where, in one line.
        hint: What to do next, in one line.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SpecError(SandboxError):
    """An OpenAPI file cannot be read or served."""


class ProjectError(SandboxError):
    """A project folder or one of its mocks does not fit its specs."""


class PlanError(SandboxError):
    """A plan or a fault is malformed or names something unknown.

    Args:
        pointer: Where in the document it stands, as a JSON pointer (RFC 6901); empty for the document itself.
    """

    def __init__(self, message: str, hint: str | None = None, pointer: str = "") -> None:
        super().__init__(message, hint)
        self.pointer = pointer


class ProviderError(SandboxError):
    """A provider under contract cannot be asked: unreachable, without credentials, or not allowed."""


class ServeError(SandboxError):
    """The sandbox cannot be served: a port is taken, a database cannot be opened."""


def nearest(wrong: str, names: Sequence[str]) -> str:
    """The hint that names what was probably meant, else all there is."""
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known are: {', '.join(sorted(names))}"
