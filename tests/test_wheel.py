"""What would be published: only `sandbox` is importable, the content ships as data, and the main job runs from it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

PACKAGE_DATA = "sandbox/_project"


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, so that this is complete too."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(checkout)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment with the wheel in it.

    Its dependencies are those of the running environment: a path file adds them after the wheel. Path files are not
    followed recursively, so an editable install of this checkout stays out of sight.
    """
    root = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(root, with_pip=True)
    python = _scripts(root) / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    purelib = sysconfig.get_path("purelib", "venv", {"base": str(root)})
    theirs = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(purelib, "dependencies.pth").write_text("\n".join(sorted(theirs)) + "\n", encoding="utf-8")
    return _scripts(root)


def _scripts(root: Path) -> Path:
    return Path(sysconfig.get_path("scripts", "venv", {"base": str(root)}))


def _names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_only_sandbox_is_importable(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in _names(wheel)}
    assert {name for name in top if not name.endswith(".dist-info")} == {"sandbox"}


@pytest.mark.parametrize("content", ["specs", "mocks", "contracts"])
def test_content_ships_as_data(wheel: Path, checkout: Path, content: str) -> None:
    live = (path for path in (checkout / content).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    expected = {f"{PACKAGE_DATA}/{path.relative_to(checkout).as_posix()}" for path in live}
    assert {name for name in _names(wheel) if name.startswith(f"{PACKAGE_DATA}/{content}/")} == expected


def test_nothing_but_source_and_data(wheel: Path) -> None:
    assert [name for name in _names(wheel) if "__pycache__" in name or name.endswith((".pyc", ".db", ".orig"))] == []


def test_typed(wheel: Path) -> None:
    assert "sandbox/py.typed" in _names(wheel)


def test_the_page_of_reports_ships(wheel: Path, checkout: Path) -> None:
    live = {path.relative_to(checkout).as_posix() for path in (checkout / "sandbox" / "chaos" / "assets").iterdir()}
    assert live <= set(_names(wheel))


def test_installed_sandbox_is_the_wheels(installed: Path, outside: dict[str, str]) -> None:
    command = [installed / "python", "-c", "import sandbox; print(sandbox.__file__)"]
    shown = subprocess.run(command, env=outside, capture_output=True, text=True, check=True).stdout
    assert Path(shown.strip()).is_relative_to(installed.parent)


def test_demo_runs_outside_the_checkout(installed: Path, outside: dict[str, str]) -> None:
    done = subprocess.run(
        [installed / "sandbox", "demo"], env=outside, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2025-4471" in done.stdout
