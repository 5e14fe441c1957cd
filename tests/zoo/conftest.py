from __future__ import annotations

from pathlib import Path

import pytest

from tests.zoo.laboratory import Laboratory


@pytest.fixture(scope="session")
def laboratory(checkout: Path) -> Laboratory:
    return Laboratory(checkout)
