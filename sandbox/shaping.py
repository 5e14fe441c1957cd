"""Values that fit a schema: what is given is kept as far as it fits, what is missing and required is made up.

References, `allOf`, choices with and without a discriminator, recursion, type lists and `const` are understood. What a
glance does not show (`not`, `if`, dependent keywords) is left to the validation that follows, and to `Shaper.mend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.inference.schemas import Schema, schema_at
from sandbox.inference.words import words
from sandbox.pointer import split
from sandbox.values import Muse, converted, first_of, fits, scalar

_DEEPEST: Final = 8
_GENEROUS: Final = 2
_MOST: Final = 16
# What only the server knows, by the one word of a name, its first or its last.
_SERVERS_NAMES: Final = frozenset({"id", "uuid", "object", "number", "version", "livemode", "type"})
_SERVERS_FIRST: Final = frozenset({"created", "updated", "modified"})
_SERVERS_LAST: Final = frozenset({"created", "updated", "modified", "status", "state", "total", "subtotal"})


class _Absent:
    """Nothing was given."""


ABSENT: Final = _Absent()


@dataclass(slots=True)
class _Flat:
    """A schema with all that its `allOf` adds, in one piece."""

    kinds: tuple[str, ...] = ()
    nullable: bool = False
    properties: dict[str, Any] = field(default_factory=dict)
    required: dict[str, None] = field(default_factory=dict)
    items: Any = None
    extra: Any = None
    choices: list[Any] = field(default_factory=list)
    discriminator: Mapping[str, Any] | None = None
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        if self.kinds:
            return self.kinds[0]
        if self.properties or self.required or isinstance(self.extra, Mapping):
            return "object"
        return "array" if self.items is not None else ""

    @property
    def closed(self) -> bool:
        return self.extra is False


class Shaper:
    """Makes values for the schemas of one document.

    Args:
        hidden: The keyword of the fields that never stand in these values: `writeOnly` in answers.
    """

    def __init__(self, document: Schema, hidden: str = "writeOnly") -> None:
        self._document = document
        self._hidden = hidden
        self._flats: dict[int, tuple[Any, _Flat]] = {}
        self._chosen: dict[tuple[int, int], Schema] = {}

    def complete(
        self, schema: Any, muse: Muse, given: Any = ABSENT, name: str = "", depth: int = 0, *, made: bool = False
    ) -> Any:
        """A value that fits, as near to what is given as can be.

        Args:
            name: The property's name, which says what is believable.
            made: Whether the whole is made up, and is then to be more than the least.
        """
        if not isinstance(schema, Mapping):
            return None if given is ABSENT else given
        written = schema_at(self._document, schema)
        flat = self._flat(written)
        if given is None and (flat.nullable or (not flat.kinds and not flat.choices and not flat.properties)):
            return None
        if flat.choices and depth < _DEEPEST * 2:
            chosen = self._choice(flat, given, depth)
            if chosen is not None:
                if self._is_null(chosen):
                    return None
                given = self._discriminated(flat, chosen, given)
                return self.complete(self._merged(written, chosen), muse, given, name, depth + 1, made=made)
        if "const" in flat.rules:
            return flat.rules["const"]
        if flat.rules.get("enum"):
            options = flat.rules["enum"]
            if given is not ABSENT and (given in options or (given := self._spelt(given, options)) is not None):
                return given
            example = flat.rules.get("example", flat.rules.get("default"))
            return example if example in options and example is not None else first_of(options, name)
        example = self._example(flat)
        kind = self._kind(flat, given)
        if kind == "object":
            return self._object(flat, muse, given, example, depth, made=made)
        if kind == "array":
            return self._array(flat, muse, given, example, name, depth, made=made)
        return self._scalar(flat, kind, muse, given, example, name)

    def keeps(self, schema: Any, muse: Muse, given: Any, name: str = "") -> bool:
        """Whether a value stays as it is when it is made to fit."""
        found = self.complete(schema, muse, given, name)
        if isinstance(given, Mapping) and isinstance(found, Mapping):
            return all(found.get(key, ABSENT) == value for key, value in given.items())
        return (bool(found == given) and type(found) is type(given)) or (
            isinstance(found, int | float) and isinstance(given, int | float) and found == given
        )

    def mend(self, schema: Any, muse: Muse, body: Any, pointer: str, attempt: int) -> Any:
        """A body in which the value at a pointer, which does not fit, is another one or is left out."""
        return self._mend(schema, muse, body, split(pointer), "", attempt)

    def _mend(self, schema: Any, muse: Muse, value: Any, tokens: Sequence[str], name: str, attempt: int) -> Any:
        written = schema_at(self._document, schema)
        flat = self._flat(written)
        if flat.choices and tokens:
            chosen = self._choice(flat, value, 0)
            if chosen is not None:
                written = self._merged(written, chosen)
                flat = self._flat(written)
        if not tokens:
            if flat.choices:
                options = [one for one in flat.choices if not self._is_null(one)] or flat.choices
                chosen = self._merged(written, options[attempt % len(options)])
                # What fits several alternatives at once is told apart by saying more.
                return self.complete(chosen, muse, ABSENT, name, made=attempt > 1)
            if flat.nullable and attempt > 1:
                return None
            again = self.complete(written, muse, value if attempt == 0 else ABSENT, name)
            return again if attempt < 3 else scalar(flat.rules, flat.kind, name, muse)
        first, rest = tokens[0], tokens[1:]
        if isinstance(value, Mapping):
            inner = flat.properties.get(first, flat.extra if isinstance(flat.extra, Mapping) else {})
            body = dict(value)
            if not rest and first in body and first not in flat.required and (attempt > 0 or flat.closed):
                del body[first]
            elif first in body:
                body[first] = self._mend(inner, muse, body[first], rest, first, attempt)
            else:
                body[first] = self.complete(inner, muse, ABSENT, first, 1)
            return body
        if isinstance(value, list) and first.isdecimal() and int(first) < len(value):
            items = list(value)
            items[int(first)] = self._mend(flat.items or {}, muse, items[int(first)], rest, name, attempt)
            return items
        return value

    def _object(self, flat: _Flat, muse: Muse, given: Any, example: Any, depth: int, *, made: bool) -> dict[str, Any]:
        sent: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        hints: Mapping[str, Any] = example if isinstance(example, Mapping) else {}
        if given is ABSENT and made:
            sent = {**hints, **sent}
        found: dict[str, Any] = {}
        for key, value in sent.items():
            if key in flat.properties:
                if not self._is_hidden(flat.properties[key]):
                    found[key] = self.complete(flat.properties[key], muse, value, key, depth + 1, made=made)
            elif isinstance(flat.extra, Mapping):
                found[key] = self.complete(flat.extra, muse, value, key, depth + 1)
            elif not flat.closed:
                found[key] = value
        for key in self._wanted(flat, isinstance(given, Mapping), depth, made=made):
            if key not in found:
                inner = flat.properties.get(key, flat.extra if isinstance(flat.extra, Mapping) else {})
                found[key] = self.complete(inner, muse, hints.get(key, ABSENT), key, depth + 1, made=made)
        least = flat.rules.get("minProperties", 0)
        spare = (key for key in flat.properties if key not in found and not self._is_hidden(flat.properties[key]))
        for key in spare:
            if len(found) >= least:
                break
            found[key] = self.complete(flat.properties[key], muse, ABSENT, key, depth + 1)
        while len(found) < least and not flat.closed:
            found[f"field_{len(found)}"] = self.complete(flat.extra or {}, muse, ABSENT, "", depth + 1)
        return found

    def _wanted(self, flat: _Flat, known: bool, depth: int, *, made: bool) -> Iterator[str]:
        """The fields that an object has besides those given, by name."""
        if depth > _DEEPEST:
            return
        for name in flat.required:
            if not self._is_hidden(flat.properties.get(name)):
                yield name
        if flat.required or depth > _GENEROUS or flat.discriminator:
            return
        count = 0
        for name, schema in flat.properties.items():
            inner = schema_at(self._document, schema)
            kind = self._flat(inner).kind
            if inner.get(self._hidden) is True or inner.get("deprecated") is True or kind in ("object", "array", ""):
                continue
            said = words(name)
            by_server = inner.get("readOnly") is True or _is_set_by_server(said)
            if by_server or (not known and count < _MOST) or (made and depth == 0):
                count += 1
                yield name

    def _array(
        self, flat: _Flat, muse: Muse, given: Any, example: Any, name: str, depth: int, *, made: bool
    ) -> list[Any]:
        items = flat.items if isinstance(flat.items, Mapping) else {}
        source = given if isinstance(given, list) else example if isinstance(example, list) and depth < 3 else []
        least, most = flat.rules.get("minItems", 0), flat.rules.get("maxItems", len(source) + 100)
        found = [self.complete(items, muse, one, name, depth + 1, made=made) for one in source[:most]]
        if flat.rules.get("uniqueItems"):
            found = [one for n, one in enumerate(found) if one not in found[:n]]
        for _ in range(least * 4):
            if len(found) >= least or len(found) >= _MOST * 4:
                break
            one = self.complete(items, muse, ABSENT, name, depth + 1, made=made)
            options = schema_at(self._document, items).get("enum") or []
            if flat.rules.get("uniqueItems") and one in found:
                one = next((option for option in options if option not in found), self._another(one, len(found)))
            found.append(one)
        return found

    @staticmethod
    def _another(one: Any, number: int) -> Any:
        """A value like it that is another one."""
        if isinstance(one, str):
            return f"{one}-{number}"
        return one + number if isinstance(one, int | float) and not isinstance(one, bool) else one

    def _scalar(self, flat: _Flat, kind: str, muse: Muse, given: Any, example: Any, name: str) -> Any:
        rules = flat.rules
        if given is not ABSENT:
            if not kind and not isinstance(given, _Absent):
                return given
            if given is not None and fits(rules, kind, given):
                return given
            for other in (kind, *flat.kinds):
                found = converted(other, given)
                if found is not None and fits(rules, other, found):
                    return found
        for known in (example, rules.get("default", ABSENT)):
            if known is not ABSENT and ((known is None and flat.nullable) or (fits(rules, kind, known) and kind)):
                return muse.timestamp if rules.get("format") == "date-time" and kind == "string" else known
        if not kind and example is not ABSENT:
            return example
        if flat.nullable and given is ABSENT and name and not flat.rules.get("format"):
            return None
        return scalar(rules, kind or "string", name, muse)

    def _kind(self, flat: _Flat, given: Any) -> str:
        """The type to be made: that of what is given where the schema allows several."""
        if len(flat.kinds) < 2 or given is ABSENT:
            return flat.kind
        for kind, types in (
            ("boolean", bool),
            ("integer", int),
            ("number", float),
            ("string", str),
            ("array", list),
            ("object", Mapping),
        ):
            if kind in flat.kinds and isinstance(given, types):
                return kind
        return flat.kind

    def _example(self, flat: _Flat) -> Any:
        if "example" in flat.rules:
            return flat.rules["example"]
        examples = flat.rules.get("examples")
        return examples[0] if isinstance(examples, list) and examples else ABSENT

    @staticmethod
    def _spelt(given: Any, options: Sequence[Any]) -> Any:
        """The option that is the same word in another spelling."""
        if not isinstance(given, str):
            return next((option for option in options if str(option) == str(given)), None)
        return next((one for one in options if isinstance(one, str) and words(one) == words(given) != ()), None)

    def _choice(self, flat: _Flat, given: Any, depth: int) -> Any:
        """The alternative that suits what is given best; the first that can be where nothing is given."""
        if given is None and flat.nullable:
            return {"type": "null"}
        options = [one for one in flat.choices if isinstance(one, Mapping)]
        if not options:
            return None
        if given is not ABSENT:
            scored = [(self._score(one, given, flat), -number, one) for number, one in enumerate(options)]
            best = max(scored, key=lambda entry: entry[:2])
            if best[0] > 0:
                return best[2]
        real = [one for one in options if not self._is_null(one)]
        if depth > 3:
            simple = [one for one in real if self._flat(schema_at(self._document, one)).kind not in ("object", "array")]
            real = simple or real
        return (real or options)[0]

    def _score(self, option: Any, given: Any, flat: _Flat, depth: int = 0) -> float:
        """How well a value suits an alternative; below zero when it cannot."""
        inner = self._flat(schema_at(self._document, option))
        if inner.choices and depth < 3:
            return max((self._score(one, given, inner, depth + 1) for one in inner.choices), default=-1)
        if given is None:
            return 1 if inner.nullable or "null" in inner.kinds else -1
        if "const" in inner.rules:
            return 3 if inner.rules["const"] == given else -1
        if inner.rules.get("enum"):
            return 3 if given in inner.rules["enum"] else -1
        kind = inner.kind
        if isinstance(given, Mapping):
            return self._score_object(option, inner, given, flat) if kind in ("object", "") else -1
        if isinstance(given, list):
            return 1 if kind in ("array", "") else -1
        return 2 if any(fits(inner.rules, one, given) for one in (inner.kinds or ("",))) else -1

    def _score_object(self, option: Any, inner: _Flat, given: Mapping[str, Any], flat: _Flat) -> float:
        name = str((flat.discriminator or {}).get("propertyName", ""))
        if name and name in given and self._is_called(option, given[name], flat):
            return 50
        score = 1.0
        for key, value in given.items():
            if key in inner.properties:
                own = self._flat(schema_at(self._document, inner.properties[key])).rules
                fixed = [own["const"]] if "const" in own else own.get("enum")
                if fixed and value not in fixed:
                    return -1
                score += 4 if fixed else 1
            elif inner.closed:
                score -= 1
        return score - 0.5 * sum(key not in given for key in inner.required)

    def _is_called(self, option: Any, value: Any, flat: _Flat) -> bool:
        target = str(option.get("$ref", "")) if isinstance(option, Mapping) else ""
        mapping = (flat.discriminator or {}).get("mapping") or {}
        named = mapping.get(value, value) if isinstance(value, str) else ""
        return bool(target) and (target == named or target.rpartition("/")[2] == str(named).rpartition("/")[2])

    def _discriminated(self, flat: _Flat, chosen: Any, given: Any) -> Any:
        """What is given, with the discriminator that tells of the chosen alternative."""
        name = (flat.discriminator or {}).get("propertyName")
        target = str(chosen.get("$ref", "")) if isinstance(chosen, Mapping) else ""
        if not name or not target:
            return given
        inner = self._flat(schema_at(self._document, chosen))
        own = self._flat(schema_at(self._document, inner.properties.get(name, {}))).rules
        if "const" in own or own.get("enum"):
            return given
        mapping = (flat.discriminator or {}).get("mapping") or {}
        last = target.rpartition("/")[2]
        called = next((key for key, to in mapping.items() if str(to).rpartition("/")[2] == last), last)
        known = dict(given) if isinstance(given, Mapping) else {}
        return {**known, name: called}

    def _merged(self, schema: Schema, chosen: Any) -> Schema:
        """A schema with one of its alternatives in the place of the choice."""
        key = (id(schema), id(chosen))
        found = self._chosen.get(key)
        if found is None:
            base = {word: value for word, value in schema.items() if word not in ("oneOf", "anyOf", "discriminator")}
            if isinstance(base.get("allOf"), list):
                base["allOf"] = [self._unchosen(part) for part in base["allOf"]]
            found = self._chosen[key] = {"allOf": [chosen, base]} if base else chosen
        return found

    def _unchosen(self, part: Any, depth: int = 0) -> Any:
        """A part of an `allOf` without its own choice, once that is made."""
        inner = schema_at(self._document, part)
        if not self._flat(inner).choices or depth > _DEEPEST:
            return part
        rest = {word: value for word, value in inner.items() if word not in ("oneOf", "anyOf", "discriminator")}
        if isinstance(rest.get("allOf"), list):
            rest["allOf"] = [self._unchosen(one, depth + 1) for one in rest["allOf"]]
        return rest

    def _is_null(self, schema: Any) -> bool:
        inner = schema_at(self._document, schema)
        return inner.get("type") == "null" or inner.get("enum") == [None]

    def _is_hidden(self, schema: Any) -> bool:
        return isinstance(schema, Mapping) and schema_at(self._document, schema).get(self._hidden) is True

    def _flat(self, schema: Schema) -> _Flat:
        known = self._flats.get(id(schema))
        if known is None:
            known = self._flats[id(schema)] = schema, self._flattened(schema)
        return known[1]

    def _flattened(self, schema: Schema) -> _Flat:
        flat, seen = _Flat(), set[int]()
        stack: list[Any] = [schema]
        while stack:
            part = schema_at(self._document, stack.pop(0))
            if id(part) in seen:
                continue
            seen.add(id(part))
            kinds = part.get("type")
            kinds = tuple(kinds) if isinstance(kinds, list) else (kinds,) if isinstance(kinds, str) else ()
            flat.nullable = flat.nullable or part.get("nullable") is True or "null" in kinds
            flat.kinds = flat.kinds or tuple(kind for kind in kinds if kind != "null") or kinds
            for name, value in _mapping(part.get("properties")).items():
                known = flat.properties.get(name)
                flat.properties[name] = value if known is None else {"allOf": [known, value]}
            required = part.get("required")
            flat.required.update(dict.fromkeys(required) if isinstance(required, list) else {})
            if isinstance(part.get("items"), Mapping):
                flat.items = part["items"] if flat.items is None else {"allOf": [flat.items, part["items"]]}
            if "additionalProperties" in part and (flat.extra is None or part["additionalProperties"] is False):
                flat.extra = part["additionalProperties"]
            for word in ("oneOf", "anyOf"):
                if not flat.choices and isinstance(part.get(word), list) and part[word]:
                    flat.choices, flat.discriminator = part[word], part.get("discriminator")
            for word, value in part.items():
                if word not in ("allOf", "oneOf", "anyOf", "properties", "required", "items", "type"):
                    flat.rules.setdefault(word, value)
            composed = part.get("allOf")
            stack.extend(composed if isinstance(composed, list) else ())
        return flat


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_set_by_server(name: tuple[str, ...]) -> bool:
    """Whether the words of a name tell of something that no client sends: not `merged_to_contact_id`, but `id`."""
    if len(name) == 1 and name[0] in _SERVERS_NAMES:
        return True
    return bool(name) and (name[0] in _SERVERS_FIRST or name[-1] in _SERVERS_LAST)
