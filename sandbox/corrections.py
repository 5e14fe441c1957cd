"""`mocks/NAME.yaml`: where the reading of a spec is put right, declaratively.

```yaml
collections:
  orders: {id: order_number}
operations:
  mark_sent:                       # an operationId
    action: act                    # what it does; see `sandbox specs explain NAME`
    collection: orders
    id: order_number               # the path parameter that identifies a record
    verb: ship                     # of an action: what is done
    envelope: data.order           # where records lie in answers; `data[]` for several
    body: order                    # where the record lies in what is sent
    business_key: $request.path.order_number
    idempotency: optional
    events: [order.shipped]
```
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

import yaml

from sandbox.errors import ProjectError, nearest
from sandbox.expression import Expression
from sandbox.inference import Action, Correction
from sandbox.operation import METHODS

EXTENSION: Final = "x-reading"
_TOP: Final = ("collections", "operations")
_ACTIONS: Final[tuple[str, ...]] = get_args(Action)
_LEVELS: Final = ("none", "optional", "required")
_TEXTS: Final = ("action", "collection", "id", "verb", "envelope", "body", "idempotency")
_WORDS: Final = ("business_key", "events")
# What our extensions say in a spec is said there.
_ELSEWHERE: Final = {"business_key": "x-business-key", "idempotency": "x-idempotency", "events": "x-event"}


def correction_of(node: Mapping[str, Any]) -> Correction | None:
    """What a project has put right about an operation, by its object in the document."""
    said = node.get(EXTENSION)
    if not isinstance(said, Mapping):
        return None
    known = {name: said[name] for name in ("action", "collection", "id", "envelope", "body", "verb") if name in said}
    return Correction(str(said.get("place", EXTENSION)), **known)


def read_corrections(path: Path) -> Corrections:
    """What puts the reading of a document right, as a file says; to be called with the document.

    Raises:
        ProjectError: the file is no YAML, or something in it is unknown: with file, line and the nearest right name.
    """
    return Corrections(path)


class Corrections:
    """What one file says of a spec: first `apply` it to the document, then `check` what was read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[tuple[str, ...], int] = {}
        try:
            text = path.read_text(encoding="utf-8-sig")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self._lines.update(_lines(node, ()))
            data = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as error:
            raise ProjectError(f"{path}: cannot be read ({error})", "check the file") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            raise ProjectError(f"{where}: not YAML: {getattr(error, 'problem', error)}", "mend the syntax") from None
        if data is not None and not isinstance(data, dict):
            self._refuse((), "the file is no mapping", "begin it with operations:")
        self._data: dict[str, Any] = dict(data or {})
        self._check(self._data, _TOP, ())
        for part in _TOP:
            entries = self._mapping(self._data.get(part), (part,))
            self._data[part] = {name: self._mapping(said, (part, str(name))) for name, said in entries.items()}
            for name, said in self._data[part].items():
                self._check(said, _KNOWN[part], (part, str(name)))
        for name, said in self._data["operations"].items():
            self._check_operation(str(name), said)

    def apply(self, document: dict[str, Any]) -> None:
        """Write into the document's operations what the file says of them.

        Raises:
            ProjectError: an operation or a collection is not there.
        """
        nodes = dict(_operations(document))
        for name, said in self._data["operations"].items():
            at = ("operations", str(name))
            node = nodes.get(str(name))
            if node is None:
                self._refuse(at, f"the spec has no operation {name!r}", nearest(str(name), list(nodes)))
            asked = _parameters(document, str(name))
            if said.get("id") is not None and said["id"] not in asked:
                self._refuse((*at, "id"), f"{name} has no parameter {said['id']!r}", nearest(str(said["id"]), asked))
            extension = {key: value for key, value in said.items() if key not in _ELSEWHERE}
            node[EXTENSION] = {**extension, "place": self._place(at)}
            for key, word in _ELSEWHERE.items():
                if key in said:
                    node[word] = said[key]
        document_wide = {str(name): said.get("id") for name, said in self._data["collections"].items()}
        for name, id_field in document_wide.items():
            if id_field is not None and id_field not in (fields := _fields(document)):
                self._refuse(
                    ("collections", name, "id"),
                    f"no schema has a field {id_field!r}",
                    nearest(str(id_field), sorted(fields)),
                )
        if document_wide:
            places = {name: self._place(("collections", name)) for name in document_wide}
            document["info"][EXTENSION] = {
                name: {"id": id_field, "place": places[name]} for name, id_field in document_wide.items()
            }

    def check(self, known: Collection[str]) -> None:
        """Refuse the name of a collection that is neither read from the document nor named under `collections:`.

        Args:
            known: The names of those that are read from the document alone.

        Raises:
            ProjectError: with the nearest right name.
        """
        named = [str(name) for name in self._data["collections"]]
        used = {str(said.get("collection")) for said in self._data["operations"].values()}
        for name in named:
            if name not in known and name not in used:
                self._refuse(("collections", name), f"there is no collection {name!r}", nearest(name, list(known)))
        for operation, said in self._data["operations"].items():
            name = said.get("collection")
            if name is not None and name not in (*known, *named):
                hint = nearest(name, [*known, *named])
                new = (
                    ""
                    if hint.startswith("did you mean")
                    else f"; one of your own is named under collections: {name}: {{}}"
                )
                self._refuse(
                    ("operations", str(operation), "collection"), f"there is no collection {name!r}", hint + new
                )

    def _check_operation(self, name: str, said: Mapping[str, Any]) -> None:
        at = ("operations", name)
        for key in _TEXTS:
            if key in said and not isinstance(said[key], str):
                self._refuse((*at, key), f"{key} takes a text", "put it in quotes")
        for key in _WORDS:
            words = said.get(key, [])
            words = [words] if isinstance(words, str) else words
            if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
                self._refuse((*at, key), f"{key} takes a text or a list of texts", "write [one, two]")
        for key, known in (("action", _ACTIONS), ("idempotency", _LEVELS)):
            if key in said and said[key] not in known:
                self._refuse((*at, key), f"{said[key]!r} is no {key}", nearest(said[key], list(known)))
        keys = said.get("business_key", [])
        for text in [keys] if isinstance(keys, str) else keys:
            try:
                Expression.parse(text)
            except ValueError as error:
                self._refuse((*at, "business_key"), str(error), "write it as $request.body#/order_number")

    def _check(self, said: Mapping[str, Any], known: tuple[str, ...], at: tuple[str, ...]) -> None:
        for name in said:
            if name not in known:
                self._refuse((*at, str(name)), f"{name!r} is not known here", nearest(str(name), list(known)))

    def _mapping(self, value: Any, at: tuple[str, ...]) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._refuse(at, "a mapping is due here", "see mocks/NAME.yaml in the README")
        return value

    def _place(self, at: tuple[str, ...]) -> str:
        line = self._lines.get(at)
        path = "/".join(self._path.parts[-2:])
        return f"{path}:{line}" if line else path

    def _refuse(self, at: tuple[str, ...], what: str, hint: str) -> NoReturn:
        line = self._lines.get(at)
        where = f"{self._path}:{line}" if line else str(self._path)
        raise ProjectError(f"{where}: {'.'.join(at)}: {what}" if at else f"{where}: {what}", hint)


_KNOWN: Final = {"operations": (*_TEXTS, *_WORDS), "collections": ("id",)}


def _lines(node: Any, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """The line (from 1) of each key."""
    if isinstance(node, yaml.MappingNode) and len(at) < len(("part", "name", "key")):
        for key, value in node.value:
            path = (*at, str(key.value))
            yield path, key.start_mark.line + 1
            yield from _lines(value, path)


def _parameters(document: Mapping[str, Any], operation: str) -> list[str]:
    """The names of all that an operation takes in its path or beside it; shared ones may be any operation's."""
    found: dict[str, None] = {}
    for path, item in document.get("paths", {}).items():
        if isinstance(item, dict) and any(node.get("operationId") == operation for node in item.values() if _is(node)):
            found |= dict.fromkeys(re.findall(r"{([^{}]+)}", path))
            for node in (item, *item.values()):
                given = node.get("parameters") if _is(node) else None
                found |= {one["name"]: None for one in given or () if _is(one) and isinstance(one.get("name"), str)}
    shared = (document.get("components") or {}).get("parameters") or {}
    return [*found, *(one["name"] for one in shared.values() if _is(one) and isinstance(one.get("name"), str))]


def _fields(document: Mapping[str, Any]) -> set[str]:
    """The names of all properties of all schemas, and of what stands in paths."""
    found = {name for path in document.get("paths", {}) for name in re.findall(r"{([^{}]+)}", str(path))}
    left: list[Any] = [document]
    seen: set[int] = set()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            properties = node.get("properties")
            found |= {str(name) for name in properties} if isinstance(properties, Mapping) else set()
            left += node.values()
        elif isinstance(node, list):
            left += node
    return found


def _is(node: Any) -> bool:
    return isinstance(node, dict)


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in document.get("paths", {}).values():
        for method, node in item.items() if isinstance(item, dict) else ():
            if method in METHODS and isinstance(node, dict) and isinstance(node.get("operationId"), str):
                yield node["operationId"], node
