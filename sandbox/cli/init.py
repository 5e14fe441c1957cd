"""`sandbox init`: a project of one's own, with comments that teach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from sandbox.chaos.library import USUAL_SCENARIO
from sandbox.cli import output
from sandbox.cli.options import example, verbosity_options
from sandbox.document import Document
from sandbox.errors import ProjectError
from sandbox.layout import MARKER, reference_root
from sandbox.spec import Spec

_TEMPLATES: Final = Path("contracts", "templates")
_CI: Final = {"github": Path(".github", "workflows", "chaos.yml"), "gitlab": Path(".gitlab-ci.yml")}
_REFERENCE: Final = """\
# The systems are the four that come with the sandbox (shop, crm, accounting, shipping), since this project has no
# folder `specs`. With your own OpenAPI files in specs/NAME.yaml, it has those instead.
"""
_OWN: Final = """\
# The systems are the OpenAPI files in specs/; what they cannot say, such as business rules, may stand in mocks/NAME.py.
"""
_NO_SUBJECT: Final = "# subject: node integrator.js"
_STEPS: Final = "first-steps"
_SHOWN: Final = ("SHOP_URL", "SHOP_API_KEY")


@click.command(
    epilog=example("sandbox init", "sandbox init shop-tests --spec shop=bigshop.yaml", "sandbox init --ci github")
)
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--spec",
    "specs",
    multiple=True,
    metavar="[NAME=]FILE",
    help="An OpenAPI file of a system of yours; repeatable. Else the project has the four that come with the sandbox.",
)
@click.option(
    "--ci", type=click.Choice(list(_CI)), help="Write the job that explores on each change, for this service, too."
)
@verbosity_options
def init(folder: Path, specs: tuple[str, ...], ci: str | None) -> None:
    """Write a project: sandbox.yaml, contracts/ with a scenario and an invariant to start from, and your specs.

    What is there already is never overwritten.
    """
    systems = dict(_system(text) for text in specs)
    if len(systems) < len(specs):
        raise ProjectError("--spec: two systems have one name", "write --spec NAME=FILE")
    for target, text in _files(folder, systems, ci):
        _write(target, text)
    _say_what_next(folder, bool(systems), ci)


@dataclass(frozen=True, slots=True)
class _Given:
    """A spec that was given, and the document that it was read from."""

    spec: Spec
    document: Document

    def parts(self, target: Path) -> Iterator[tuple[Path, str]]:
        """The other files that it consists of, beside its new place as they were beside its old one.

        Raises:
            ProjectError: when one would lie outside of the project.
        """
        home = target.parent.parent.resolve()
        for name in self.document.sources:
            there = target.parent / name
            if not there.resolve().is_relative_to(home):
                hint = "copy the files yourself, so that they lie in one folder"
                raise ProjectError(f"{self.document.path}: it refers to {name}, outside of its folder", hint)
            yield there, (self.document.path.parent / name).read_text(encoding="utf-8-sig")


def _system(text: str) -> tuple[str, _Given]:
    """A system by its name, its file having been read."""
    name, equals, path = text.partition("=")
    file = Path(path if equals and not Path(text).is_file() else text)
    document = Document.read(file)
    spec = Spec.of(document)
    return (name if str(file) == path and equals else spec.name), _Given(spec, document)


def _files(folder: Path, systems: dict[str, _Given], ci: str | None) -> Iterator[tuple[Path, str]]:
    """What is written, and where."""
    templates = reference_root() / _TEMPLATES
    for name, given in systems.items():
        file = given.document.path
        target = folder / "specs" / f"{name}{file.suffix}"
        yield target, file.read_text(encoding="utf-8-sig")
        yield from given.parts(target)
        mock = (templates / "mock.py").read_text(encoding="utf-8")
        yield folder / "mocks" / f"{name}.py", mock.replace("class Mock(", f"class {_class_name(name)}(")
    settings = (templates / MARKER).read_text(encoding="utf-8")
    names = [f"{name.upper().replace('-', '_')}_URL" for name in systems] or _SHOWN
    # Whatever the program calls them.
    lines = "".join(
        f"#   {'MY_' + name if systems else 'STORE_' + name.partition('_')[2]}: ${{{name}}}\n" for name in names
    )
    yield (
        folder / MARKER,
        settings.format(
            systems=_OWN if systems else _REFERENCE,
            environment=lines,
            subject=_NO_SUBJECT if systems else "subject: reference",
            scenario=_STEPS if systems else USUAL_SCENARIO,
        ),
    )
    yield folder / "contracts" / "invariants.py", (templates / "invariants.py").read_text(encoding="utf-8")
    scenario = f"{_STEPS if systems else 'two-orders'}.yaml"
    steps = (templates / scenario).read_text(encoding="utf-8")
    yield folder / "contracts" / "scenarios" / scenario, steps.replace("{operation}", _first(systems))
    if ci is not None:
        yield folder / _CI[ci], (reference_root() / "contracts" / "ci" / f"{ci}.yml").read_text(encoding="utf-8")


def _first(systems: dict[str, _Given]) -> str:
    """An operation to begin with: the first that makes something, else the first of all."""
    found = [(name, operation) for name, given in systems.items() for operation in given.spec.operations.values()]
    makes = [f"{name}.{operation.id}" for name, operation in found if operation.method == "POST"]
    return next(iter([*makes, *(f"{name}.{operation.id}" for name, operation in found)]), "")


def _class_name(system: str) -> str:
    return "".join(word.capitalize() for word in system.replace("-", "_").split("_"))


def _write(target: Path, text: str) -> None:
    if target.exists():
        output.note(f"kept as it is: {target}")
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ProjectError(f"{target}: cannot be written ({error.strerror})", "name another folder") from None
    click.echo(f"written: {target}")


def _say_what_next(folder: Path, own: bool, ci: str | None) -> None:
    steps = [] if folder == Path() else [f"cd {folder}"]
    if own:
        steps.append("sandbox specs check      # what the OpenAPI files leave open")
    steps += [
        f"edit {MARKER}        # how your program is started, and what its variables are called",
        "sandbox doctor           # whether all of that works",
        "sandbox chaos explore    # every failure at every point",
    ]
    if ci is not None:
        steps.append(f"git add {_CI[ci]}")
    output.note("next:")
    for step in steps:
        output.note(f"  {step}")
