"""Programs from npm to compare with, installed once into the user's cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.bench.figure import Missing

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sandbox-bench"
PACKAGES = {"prism": "@stoplight/prism-cli@5", "wiremock": "wiremock@3", "mockoon-cli": "@mockoon/cli@9"}
TIME_LIMIT = 300.0


def program(name: str) -> str:
    """The path of an installed program.

    Raises:
        Missing: where there is no npm, or it has no way to the registry.
    """
    path = CACHE / "node_modules" / ".bin" / name
    if path.exists():
        return str(path)
    npm = shutil.which("npm")
    if npm is None:
        raise Missing(f"{PACKAGES[name]} is not installed, and there is no npm")
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "--silent", PACKAGES[name]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise Missing(f"npm did not install {PACKAGES[name]} within {TIME_LIMIT:.0f} s") from None
    if done.returncode or not path.exists():
        raise Missing(f"npm cannot install {PACKAGES[name]}: {done.stderr.strip()[-200:] or done.returncode}")
    return str(path)
