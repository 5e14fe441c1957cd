"""Specs with parts replaced, moved and taken out at random: read or refused in one line, and never anything else."""

from __future__ import annotations

import copy
import json
import random
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import SpecError
from sandbox.gateway import services
from sandbox.layout import Sources
from sandbox.project import Project
from sandbox.spec_check import check
from sandbox.text import parse
from tests.reading.test_defects import PLANTED
from tests.reading.test_versions import MODERN, OLD

NUMBER = 100
JUNK: tuple[Any, ...] = (
    *(None, 3, -1.5, True, "text", "", [], {}, [1], [[]], {"a": 1}, {"": {}}, ["null", "string"], {"type": "null"}),
    *({"$ref": "#/components/schemas/Nope"}, {"$ref": 3}, {"$ref": "#"}, {"$ref": "#/"}, {"$ref": "#/paths"}),
    *({"$ref": "a.yaml"}, {"$ref": "https://example.com/a.yaml"}, 10**30),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(value, (*path, key))


def at(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def mutated(chance: random.Random, document: Any) -> Any:
    document = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 2, 5))):
        known = list(places(document))
        *above, last = chance.choice(known[1:])
        owner = at(document, tuple(above))
        match chance.randrange(8):
            case 0:
                del owner[last]
            case 1:
                taken = at(document, chance.choice(known))
                owner[last] = copy.deepcopy(taken) if len(json.dumps(taken)) < 20_000 else None
            case _:
                owner[last] = copy.deepcopy(chance.choice(JUNK))
    return document


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_mutations(checkout: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    texts = [(checkout / "specs/shop.yaml").read_text(), *map(textwrap.dedent, (MODERN, OLD, PLANTED))]
    documents = [parse(Path("spec.yaml"), text.encode())[0] for text in texts]
    file = tmp_path / "spec.yaml"
    refused: list[str] = []
    for _ in range(NUMBER):
        document = mutated(chance, chance.choice(documents))
        file.write_text(json.dumps(document))
        try:
            project = Project.load(Sources(tmp_path, (("it", file),), folder=False))
            check(project.specs["it"])
        except SpecError as error:
            refused.append(error.message)
        else:
            services(project, [])
    assert len(refused) < NUMBER / 3
    assert all("\n" not in message and message.startswith(f"{file}:") for message in refused)
