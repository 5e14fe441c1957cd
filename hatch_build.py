"""Puts the reference project's content into the wheel as data, where `sandbox.project` finds it by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CONTENT = ("specs", "mocks", "contracts")


class ContentHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling leaves it open
    """Maps each content folder to `sandbox/_project/` in the wheel.

    A plain `force-include` would also copy them on an editable install, which must read the live files, and would
    fail while one of the folders does not exist.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for name in CONTENT:
            folder = Path(self.root, name)
            if folder.is_dir():
                build_data["force_include"][str(folder)] = f"sandbox/_project/{name}"
