"""Where in a program something happened: the line nearest to it that is neither ours nor a library's."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import FrameType
from typing import Final

_STDLIB: Final = Path(traceback.__file__).parent
_PACKAGE: Final = Path(__file__).parents[1]


def own_place(frame: FrameType | None = None) -> str:
    """`file:line` of the innermost line of the program's own; empty when there is none.

    Args:
        frame: Where to begin to look; None is the caller.
    """
    frames = traceback.extract_stack(frame)
    own = [found for found in frames if not found.filename.startswith("<") and not _is_library(found.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def _is_library(filename: str) -> bool:
    path = Path(filename)
    installed = "site-packages" in path.parts or "dist-packages" in path.parts
    return installed or any(path.is_relative_to(folder) for folder in (_STDLIB, _PACKAGE))
