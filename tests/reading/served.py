"""A spec that is served, and a caller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from sandbox.inprocess import InProcess
from sandbox.layout import Sources
from sandbox.project import Project

Write = Callable[..., Path]


class Served:
    """A spec that is served, and a caller."""

    def __init__(self, path: Path) -> None:
        self.project = Project.load(Sources.find(None, [f"it={path}"]))
        self.spec = self.project.specs["it"]
        self._sandbox = InProcess(self.project)
        self._session = self._sandbox.session()
        self.url = self._sandbox.access().systems["it"]["url"]
        self.close = self._sandbox.close

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        answer: requests.Response = self._session.request(method, self.url + path, **more)
        return answer
