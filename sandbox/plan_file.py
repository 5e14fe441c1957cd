"""Plan files: YAML in, with the line of whatever is wrong; YAML out, to be read by people.

Read by the rules of `sandbox.document`, so that `on` is a word and a date a text; besides, what is a text in a plan
stays as it was written: the key `0123` has four characters, quoted or not. Comments are not kept, `description` is.
"""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from sandbox.catalog import Catalog
from sandbox.errors import PlanError, nearest
from sandbox.plan import Plan
from sandbox.plan_document import EACH, read_plan
from sandbox.pointer import split
from sandbox.strict_yaml import StrictLoader
from sandbox.written import parse, read_text, scan

PROFILES: Final = Path("contracts", "profiles")
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_NO_PROJECT: Final = Catalog()
_WIDTH: Final = 120
_STRING: Final = "tag:yaml.org,2002:str"
_WRITTEN: Final = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool"))
# Where a plan has texts, by the last names of the path.
_TEXTS: Final = {("description",), ("scenario",)} | {
    ("on", name) for name in ("system", "operation", "event", "key", "subscriber")
}
_IN_FLOW: Final = frozenset({"on", "with", "match", "place"})


def load_plan(path: Path, catalog: Catalog = _NO_PROJECT) -> Plan:
    """Read a plan file.

    Args:
        catalog: What it may name.

    Raises:
        PlanError: the file cannot be read, or something in it is wrong: with file, line, reason and nearest right name.
    """
    return parse_plan(read_text(path, "plan"), str(path), catalog)


def parse_plan(text: str, where: str = "plan", catalog: Catalog = _NO_PROJECT) -> Plan:
    """Read a plan from YAML, of which JSON is a part.

    Args:
        where: The file's name, for messages.
        catalog: What it may name.

    Raises:
        PlanError: as `load_plan`.
    """
    written = parse(text, where, "a plan", _keep_as_written)
    with written.told():
        return read_plan(written.data, catalog)


def _keep_as_written(pointer: str, node: yaml.Node) -> None:
    names = split(pointer)
    texts = names[-2:] in _TEXTS or names[-3:-1] == ("match", "header") or names[:-1] == ("specs",)
    if node.tag in _WRITTEN and texts:
        node.tag = _STRING


def parse_value(text: str) -> Any:
    """A single value, as it would stand in a plan: `3s` is a text, `503` a number, `[a, b]` a list.

    Raises:
        PlanError: when it is no YAML.
    """
    try:
        scan(text, "a plan")
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError:
        raise PlanError(f"{text!r} is not a value as a plan has them", "put it in quotes") from None


class _Dumper(yaml.SafeDumper):
    """Writes what `StrictLoader` reads; that other programs may read it as something else is seen to in `_text`."""

    yaml_implicit_resolvers: ClassVar[Any] = StrictLoader.yaml_implicit_resolvers  # type: ignore[misc]  # its base is known at run time

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's signature
        super().increase_indent(flow, indentless=False)


# Line breaks other than a line feed, and what cannot be seen, survive in quotes only.
_PLAIN: Final = re.compile("[^\\x00-\\x09\\x0b-\\x1f\\x7f-\\xa0\\u2028\\u2029\\ufeff]*")
# YAML 1.1, by which most programs read: there `no` is false and `1_000` a number.
_YAML_1_1: Final[Any] = yaml.resolver.Resolver()


def dump_plan(plan: Plan) -> str:
    """A plan as YAML; `parse_plan` reads the equal plan again."""
    return yaml.serialize(_node(plan.to_json(), ()), Dumper=_Dumper, width=_WIDTH, allow_unicode=True)


def _node(value: Any, path: tuple[str, ...], flow: bool = False) -> yaml.Node:
    """A value as a node, with the style in which people read it best."""
    if isinstance(value, dict):
        pairs = [
            (_text(str(name)), _node(item, (*path, str(name)), flow or name in _IN_FLOW))
            for name, item in value.items()
        ]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=flow or not pairs)
    if isinstance(value, (list, tuple)):
        items = [_node(item, path, flow) for item in value]
        return yaml.SequenceNode("tag:yaml.org,2002:seq", items, flow_style=flow or not items)
    if isinstance(value, str):
        return _text(value, as_key=path[-2:] == ("on", "key"))
    if value is None or isinstance(value, bool):
        kind, text = ("null", "null") if value is None else ("bool", str(value).lower())
    else:
        kind, text = ("float", repr(value)) if isinstance(value, float) else ("int", str(value))
    return yaml.ScalarNode(f"tag:yaml.org,2002:{kind}", text)


def _text(value: str, as_key: bool = False) -> yaml.ScalarNode:
    style = None
    if (
        as_key
        or not _PLAIN.fullmatch(value)
        or (value != "on" and _YAML_1_1.resolve(yaml.ScalarNode, value, (True, False)) != _STRING)
    ):
        # A business key looks like a number or a date to half of all YAML readers.
        style = '"'
    elif "\n" in value:
        style = "|"
    return yaml.ScalarNode(_STRING, value, style=style)


def profiles(root: Path, systems: Container[str] | None = None) -> dict[str, Path]:
    """The plans in `contracts/profiles` of a project, by name.

    Args:
        systems: Those that a plan shall strike. Where they are not the project's own, plans that are on each system,
            whatever its name, take the place of those that name the project's.
    """
    folder = root / PROFILES
    own = [file.stem for file in (root / "specs").glob("*") if file.suffix in _SUFFIXES]
    if systems is not None and any(name not in systems for name in own):
        folder /= EACH
    found = sorted(file for file in folder.glob("*") if file.suffix in _SUFFIXES) if folder.is_dir() else []
    return {file.stem: file for file in found}


def find_plan(name: str, roots: list[Path], systems: Container[str] | None = None) -> Path:
    """The file of a plan that is named by its path, or as a profile of one of the projects (the first that has it).

    Args:
        systems: Those that it shall strike.

    Raises:
        PlanError: when there is neither, with the nearest profile.
    """
    path = Path(name)
    if path.suffix in _SUFFIXES or len(path.parts) > 1 or path.is_file():
        return path
    known = {profile: file for root in reversed(roots) for profile, file in profiles(root, systems).items()}
    if name in known:
        return known[name]
    raise PlanError(f"there is no profile {name!r}, and no plan file of that name", nearest(name, list(known)))
