"""Schema objects as the rest of the sandbox may rely on them: each keyword has the form that it must have.

What an author got wrong is put right where it is plain what was meant (`minimum: "1"`, `enum` beside `type: array`,
`type: Integer`), and left out where it is not; either way it is noted. OpenAPI 3.1 schemas are JSON Schema 2020-12 and
stay so: what 3.0 would write otherwise is rewritten only where the two mean exactly the same (`type: [string, "null"]`,
`const`, the keywords beside a `$ref`), so that whoever reads schemas meets one form of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import jsonschema_rs

from sandbox.defect import shown
from sandbox.pointer import escape

Note: TypeAlias = Callable[[str, str, str], None]
Follow: TypeAlias = Callable[[str, str], bool]

TYPES: Final = ("string", "number", "integer", "boolean", "array", "object")
_MEANT: Final[Mapping[str, tuple[str, str | None] | None]] = {
    **dict.fromkeys(("int", "long", "int32", "int64", "bigint", "short"), ("integer", None)),
    **dict.fromkeys(("float", "double", "decimal", "numeric", "money", "num"), ("number", None)),
    **dict.fromkeys(("bool",), ("boolean", None)),
    **dict.fromkeys(("str", "text", "char", "enum", "password", "base64"), ("string", None)),
    **dict.fromkeys(("date",), ("string", "date")),
    **dict.fromkeys(("datetime", "date-time", "timestamp", "dateTime"), ("string", "date-time")),
    **dict.fromkeys(("uuid", "guid"), ("string", "uuid")),
    **dict.fromkeys(("uri", "url"), ("string", "uri")),
    **dict.fromkeys(("email",), ("string", "email")),
    **dict.fromkeys(("file", "binary"), ("string", "binary")),
    **dict.fromkeys(("dict", "map", "hash", "json", "struct", "hashmap"), ("object", None)),
    **dict.fromkeys(("list", "collection", "set"), ("array", None)),
    **dict.fromkeys(("any", "mixed", "anytype", "*", "unknown"), None),
}
_FORMATS: Final = frozenset(
    "int32 int64 float double byte binary date date-time password email idn-email hostname idn-hostname ipv4 ipv6 uri "
    "uri-reference iri iri-reference uri-template uuid json-pointer relative-json-pointer regex time duration "
    "url currency decimal int8 int16 uint8 uint16 uint32 uint64 decimal128 char media-range commonmark html base64url "
    "sf-string sf-token sf-integer sf-decimal sf-boolean sf-binary double-int http-date phone unix-time".split()
)
# The fewest and the most characters of what is written in a format.
_LENGTHS: Final = {"uuid": (36, 36), "date": (10, 10), "date-time": (20, 64), "ipv4": (7, 15), "email": (3, 320)}
_NUMBERS: Final = ("minimum", "maximum", "multipleOf")
_COUNTS: Final = (
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("minContains", "maxContains"),
)
_RANGES: Final = (
    *(("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")),
    *(("minProperties", "maxProperties"),),
)
_FLAGS: Final = ("nullable", "readOnly", "writeOnly", "uniqueItems", "deprecated")
_COMPOSITES: Final = ("allOf", "anyOf", "oneOf")
_SCHEMAS: Final = (
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
)
_MAPS: Final = ("patternProperties", "dependentSchemas", "$defs")
# Words of 2020-12 alone; in 3.0 they mean nothing.
_MODERN: Final = frozenset({*_SCHEMAS[1:], *_MAPS, "prefixItems", "const", "dependentRequired"})
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
# Beside a reference these say nothing about what is valid.
_SILENT: Final = frozenset({"$ref", "description", "summary", "title", "$comment", "example", "examples", "deprecated"})


class SchemaMender:
    """Mends the schemas of one document, each once.

    Args:
        modern: Whether it is OpenAPI 3.1.
        note: Takes (pointer, what is wrong, what to do).
        follow: Takes a reference and the pointer where it stands; whether it leads somewhere.
        expand: Takes what stands at a pointer; what it stands for, where no reference is allowed.
        bases: Where a reference by `$id` or `$anchor` leads.
        turn: Brings a schema object of OpenAPI 2.0 into the form of 3.0; None when there are none.
    """

    def __init__(
        self,
        *,
        modern: bool,
        note: Note,
        follow: Follow,
        expand: Callable[[Any, str], Any],
        bases: Mapping[str, str],
        turn: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._modern = modern
        self._note = note
        self._follow = follow
        self._bases = bases
        self._expand = expand
        self._turn = turn
        # By identity; kept, so that none is taken for another that came after it.
        self._done: dict[int, Any] = {}
        self._patterns: dict[str, str | None] = {}
        # What has alternatives of which exactly one is to fit, each with its pointer.
        self.choices: list[tuple[str, dict[str, Any]]] = []

    def schema(self, node: Any, pointer: str) -> Any:
        """A schema that can be relied on, in place of what stands at a pointer; usually the same object."""
        if isinstance(node, bool):
            return node if self._modern else ({} if node else {"not": {}})
        if not isinstance(node, dict):
            self._note(pointer, f"a schema is due here, not {shown(node)}; anything is taken", "write a schema")
            return {}
        if id(node) in self._done:
            return node
        self._done[id(node)] = node
        if "$ref" in node and not self._reference(node, pointer):
            return {}
        if "$ref" in node and not self._modern:
            return node
        if self._turn is not None:
            self._turn(node)
        if self._modern and "nullable" in node:
            self._drop(node, pointer, "nullable", "nullable is no word of OpenAPI 3.1; ignored", "add null to the type")
        self._types(node, pointer)
        if self._modern:
            self._modernise(node, pointer)
        self._numbers(node, pointer)
        self._strings(node, pointer)
        self._enumeration(node, pointer)
        self._children(node, pointer)
        self._closed(node, pointer)
        self._values(node, pointer)
        if "oneOf" in node:
            self.choices.append((pointer, node))
        return node

    def _closed(self, node: dict[str, Any], pointer: str) -> None:
        """What is required in an `allOf` cannot be forbidden beside it: no object would do."""
        required, own = node.get("required"), node.get("properties")
        known = own.keys() if isinstance(own, dict) else ()
        if node.get("additionalProperties") is False and "allOf" in node and isinstance(required, list):
            lost = next((name for name in required if name not in known), None)
            if lost is not None:
                what = f"it forbids {lost!r}, which is required, for it knows only the properties beside it; ignored"
                self._drop(
                    node, pointer, "additionalProperties", what, "move it into the schema that has the properties"
                )

    def _drop(self, node: dict[str, Any], pointer: str, key: str, what: str, hint: str = "") -> None:
        del node[key]
        self._note(f"{pointer}/{escape(key)}", what, hint or f"mend {key}, or take it out")

    def _reference(self, node: dict[str, Any], pointer: str) -> bool:
        target = node["$ref"]
        if not isinstance(target, str):
            self._drop(node, pointer, "$ref", f"a reference must be a text, not {shown(target)}; it is ignored")
            return True
        target = node["$ref"] = self._bases.get(target, target)
        if not self._follow(target, pointer):
            return False
        if self._modern and not node.keys() <= _SILENT:
            # In 2020-12 the keywords beside a reference count; in an allOf they do so for every reader.
            parts = node.get("allOf")
            node["allOf"] = [{"$ref": node.pop("$ref")}, *(parts if isinstance(parts, list) else ())]
        return True

    def _types(self, node: dict[str, Any], pointer: str) -> None:
        kind = node.get("type")
        if kind is None:
            if "type" in node:
                self._drop(node, pointer, "type", "the type is nothing; any is taken")
            return
        if isinstance(kind, list):
            if not self._modern:
                self._note(f"{pointer}/type", "a list of types is of OpenAPI 3.1; it is taken as such", "use one type")
            self._several(node, pointer, kind)
            return
        if kind in TYPES or (kind == "null" and self._modern):
            return
        if kind == "null":
            self._note(f"{pointer}/type", "null is no type in OpenAPI 3.0; it is taken as such", "use nullable: true")
            return
        meant = _MEANT.get(kind, _MEANT.get(kind.lower())) if isinstance(kind, str) else None
        lower = kind.lower() if isinstance(kind, str) else ""
        if lower in TYPES:
            meant = (lower, None)
        if meant is None:
            self._drop(node, pointer, "type", f"{shown(kind)} is no type; any is taken", f"one of {', '.join(TYPES)}")
            return
        node["type"] = meant[0]
        if meant[1] is not None:
            node.setdefault("format", meant[1])
        self._note(f"{pointer}/type", f"{shown(kind)} is no type; taken as {meant[0]}", f"write type: {meant[0]}")

    def _several(self, node: dict[str, Any], pointer: str, kinds: list[Any]) -> None:
        known = [kind for kind in dict.fromkeys(map(str, kinds)) if kind in TYPES or kind == "null"]
        if len(known) < len(kinds):
            self._note(f"{pointer}/type", "the list holds what is no type, or one twice", "name each type once")
        plain = [kind for kind in known if kind != "null"]
        if not known:
            del node["type"]
        elif len(known) == 1:
            node["type"] = known[0]
        elif len(plain) == 1 and not node.keys() & {"const", "not", *_COMPOSITES}:
            values = node.get("enum")
            node["type"] = plain[0]
            if not isinstance(values, list) or None in values:
                node["nullable"] = True
        else:
            node["type"] = known

    def _modernise(self, node: dict[str, Any], pointer: str) -> None:
        """What is of 2020-12 in a form that readers of 3.0 schemas understand, where that is the same."""
        if "const" in node and "enum" not in node:
            node["enum"] = [node["const"]]
        examples = node.get("examples")
        if isinstance(examples, list):
            if examples and "example" not in node:
                node["example"] = examples[0]
        elif examples is not None:
            self._drop(node, pointer, "examples", f"a list of examples is due here, not {shown(examples)}")
        dynamic = node.get("$dynamicRef")
        if isinstance(dynamic, str):
            target = self._bases.get(dynamic, dynamic)
            if self._follow(target, pointer):
                node["allOf"] = [{"$ref": target}, *(node["allOf"] if isinstance(node.get("allOf"), list) else ())]
            del node["$dynamicRef"]

    def _numbers(self, node: dict[str, Any], pointer: str) -> None:
        for key in _NUMBERS:
            if key in node:
                self._number(node, pointer, key)
        for key in _COUNTS:
            if key in node:
                self._count(node, pointer, key)
        if "multipleOf" in node and not node["multipleOf"] > 0:
            self._drop(node, pointer, "multipleOf", "multipleOf must be more than 0; it is ignored")
        for key, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if key in node and not isinstance(node[key], bool):
                self._number(node, pointer, key)
            elif key in node and self._modern:
                self._note(f"{pointer}/{key}", f"{key} is a number in OpenAPI 3.1; taken as in 3.0", "write the number")
                if node.pop(key) and plain in node:
                    node[key] = node.pop(plain)
        self._ranges(node, pointer)
        least, most = _LENGTHS.get(str(node.get("format")), (0, 1 << 20))
        if node.get("maxLength", most) < least or node.get("minLength", least) > most:
            what = f"no {node['format']} is as short or as long as this; the format is ignored"
            self._note(f"{pointer}/format", what, "correct the format or the length")
            del node["format"]

    def _ranges(self, node: dict[str, Any], pointer: str) -> None:
        for low, high in _RANGES:
            if low in node and high in node and node[low] > node[high]:
                what = f"{low} is above {high}, so that nothing could be valid; both are ignored"
                self._note(f"{pointer}/{low}", what, "exchange them")
                del node[low], node[high]
        for key in _FLAGS:
            if key in node and not isinstance(node[key], bool):
                self._flag(node, pointer, key)

    def _count(self, node: dict[str, Any], pointer: str, key: str) -> None:
        self._number(node, pointer, key)
        value = node.get(key, 0)
        if value < 0 or value != int(value):
            self._drop(node, pointer, key, f"{key} must be a whole number from 0, not {value}; it is ignored")
        elif key in node:
            node[key] = int(value)

    def _number(self, node: dict[str, Any], pointer: str, key: str) -> None:
        value = node[key]
        if isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0:
            return
        try:
            number = float(value) if isinstance(value, str) else None
        except ValueError:
            number = None
        if number is None or number - number != 0:
            self._drop(node, pointer, key, f"{key} must be a number, not {shown(value)}; it is ignored")
            return
        node[key] = int(number) if number.is_integer() else number
        self._note(f"{pointer}/{key}", f"{key} is the text {shown(value)}; taken as a number", "write it unquoted")

    def _flag(self, node: dict[str, Any], pointer: str, key: str) -> None:
        value = node[key]
        meant = {"true": True, "yes": True, "false": False, "no": False}.get(str(value).lower())
        if meant is None:
            self._drop(node, pointer, key, f"{key} must be true or false, not {shown(value)}; it is ignored")
        else:
            node[key] = meant
            self._note(
                f"{pointer}/{key}", f"{key} is {shown(value)}; taken as {str(meant).lower()}", "write it unquoted"
            )

    def _strings(self, node: dict[str, Any], pointer: str) -> None:
        form = node.get("format")
        if form is not None and not isinstance(form, str):
            self._drop(node, pointer, "format", f"a format must be a text, not {shown(form)}; it is ignored")
        elif form is not None and form not in _FORMATS:
            self._note(f"{pointer}/format", f"the format {form!r:.60} is unknown; it is not checked", "")
        pattern = node.get("pattern")
        if pattern is None:
            node.pop("pattern", None)
        elif not isinstance(pattern, str):
            self._drop(node, pointer, "pattern", f"a pattern must be a text, not {shown(pattern)}; it is ignored")
        else:
            self._pattern(node, pointer, pattern)
        required = node.get("required")
        if required is not None and not (isinstance(required, list) and all(isinstance(one, str) for one in required)):
            what = f"'required' must list names, not be {shown(required)}; it is ignored"
            self._drop(node, pointer, "required", what, "list the names at the object: required: [id]")
        elif isinstance(required, list):
            node["required"] = list(dict.fromkeys(required))

    def _pattern(self, node: dict[str, Any], pointer: str, pattern: str) -> None:
        if pattern not in self._patterns:
            self._patterns[pattern] = _usable(pattern)
        usable = self._patterns[pattern]
        if usable is None:
            what = f"the pattern {pattern!r:.60} is no regular expression (ECMA-262); it is ignored"
            self._drop(node, pointer, "pattern", what)
        elif usable != pattern:
            node["pattern"] = usable
            what = f"the pattern {pattern!r:.60} is written as in a program; taken as {usable!r:.60}"
            self._note(f"{pointer}/pattern", what, "leave the slashes and flags out")

    def _enumeration(self, node: dict[str, Any], pointer: str) -> None:
        if "enum" not in node:
            return
        values, kind = node["enum"], node.get("type")
        if not isinstance(values, list) or not values:
            self._drop(node, pointer, "enum", f"'enum' must list values, not be {shown(values)}; any value is taken")
            return
        if kind == "array" and not any(isinstance(value, list) for value in values):
            self._note(
                f"{pointer}/enum", "the values are those of an item, not of the array; taken so", "move it to items"
            )
            del node["enum"]
            if isinstance(node.get("items"), dict) and "$ref" not in node["items"]:
                node["items"].setdefault("enum", values)
            return
        if isinstance(kind, str) and kind in _KINDS:
            fitting = [_as(kind, value) for value in values]
            if fitting != values or list(map(type, fitting)) != list(map(type, values)):
                node["enum"] = fitting
                self._note(f"{pointer}/enum", f"the values are not of the type {kind}; taken as such", "quote them")
        unique = _unique(node["enum"])
        if len(unique) < len(values):
            self._note(f"{pointer}/enum", "a value stands twice", "take it out")
            node["enum"] = unique

    def _children(self, node: dict[str, Any], pointer: str) -> None:
        self._named(node, pointer, "properties")
        for key in _COMPOSITES:
            if key in node:
                self._listed(node, pointer, key)
        if "items" in node:
            if isinstance(node["items"], list):
                what = "'items' must be one schema, not a list; anything is taken"
                self._note(f"{pointer}/items", what, "write prefixItems, or one schema")
                node["items"] = {}
            node["items"] = self.schema(node["items"], f"{pointer}/items")
        elif node.get("type") == "array" and not (self._modern or {"$ref", *_COMPOSITES} & node.keys()):
            self._note(pointer, "an array without 'items'; anything is taken", "say what its items are")
        more = node.get("additionalProperties")
        if isinstance(more, str):
            self._flag(node, pointer, "additionalProperties")
        elif "additionalProperties" in node and not isinstance(more, bool):
            node["additionalProperties"] = self.schema(more, f"{pointer}/additionalProperties")
        if "not" in node:
            node["not"] = self.schema(node["not"], f"{pointer}/not")
        if self._modern:
            self._modern_children(node, pointer)
        else:
            for key in _MODERN & node.keys():
                if key not in ("const", "$defs"):
                    self._drop(node, pointer, key, f"{key} is of OpenAPI 3.1; it is ignored", "write openapi: 3.1.0")

    def _modern_children(self, node: dict[str, Any], pointer: str) -> None:
        for key in _SCHEMAS[1:]:
            if key in node:
                node[key] = self.schema(node[key], f"{pointer}/{key}")
        for key in _MAPS:
            self._named(node, pointer, key)
        if "prefixItems" in node:
            self._listed(node, pointer, "prefixItems")
        for pattern in list(node.get("patternProperties", ())):
            if _usable(pattern) is None:
                del node["patternProperties"][pattern]
                self._note(f"{pointer}/patternProperties/{escape(pattern)}", "is no regular expression; ignored", "")
        required = node.get("dependentRequired")
        if required is not None and not (
            isinstance(required, dict)
            and all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in required.values())
        ):
            self._drop(node, pointer, "dependentRequired", "dependentRequired must list names by name; it is ignored")

    def _named(self, node: dict[str, Any], pointer: str, key: str) -> None:
        if key not in node:
            return
        children = node[key] = self._expand(node[key], f"{pointer}/{key}")
        if not isinstance(children, dict):
            self._drop(node, pointer, key, f"'{key}' must be an object, not {shown(children)}; it is ignored")
            return
        for name, child in children.items():
            children[name] = self.schema(child, f"{pointer}/{key}/{escape(name)}")

    def _listed(self, node: dict[str, Any], pointer: str, key: str) -> None:
        children = node[key]
        if isinstance(children, dict):
            self._note(f"{pointer}/{key}", f"'{key}' must be a list; taken as one", "write a dash before it")
            children = node[key] = [children]
        if not isinstance(children, list) or not children:
            self._drop(node, pointer, key, f"'{key}' must list schemas, not be {shown(children)}; it is ignored")
            return
        for index, child in enumerate(children):
            children[index] = self.schema(child, f"{pointer}/{key}/{index}")

    def _values(self, node: dict[str, Any], pointer: str) -> None:
        """Defaults and examples of the wrong type are not used; whether others fit is found out elsewhere."""
        for key in ("default", "example"):
            if key in node and not _fits(node, node[key]):
                value = node[key]
                if key == "default" and value is None:
                    del node[key]
                    continue
                what = f"the {key} does not keep its schema: {_why(node, value)}"
                meant = _as(str(node.get("type")), value)
                if meant is not None and _fits(node, meant):
                    node[key] = meant
                    self._note(f"{pointer}/{key}", f"{what}; taken as {str(meant)!r:.40}", "write it in its type")
                else:
                    self._drop(node, pointer, key, f"{what}; it is not used")


def _usable(pattern: str) -> str | None:
    """A pattern as it can be used: itself, or without the slashes of a program; None when it is none."""
    inside = re.fullmatch(r"/(\^.*|.*\$)/[a-z]*", pattern, re.DOTALL)
    written = inside[1] if inside else pattern
    try:
        jsonschema_rs.Draft202012Validator({"pattern": written})
    except (ValueError, jsonschema_rs.ValidationError):
        return None
    return written


def _as(kind: str, value: Any) -> Any:
    """A value in the type that was meant, where that is plain."""
    if kind == "string" and isinstance(value, int | float) and value is not None:
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, str):
        if kind == "boolean" and value.lower() in ("true", "false"):
            return value.lower() == "true"
        try:
            return int(value) if kind == "integer" else float(value) if kind == "number" else value
        except ValueError:
            return value
    return value


def _unique(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    seen: set[Any] = set()
    for value in values:
        key = (type(value), repr(value))
        if key not in seen:
            seen.add(key)
            found.append(value)
    return found


def _fits(node: Mapping[str, Any], value: Any) -> bool:
    if value is None:
        return node.get("nullable") is True or not isinstance(node.get("type"), str)
    kinds = _KINDS.get(node["type"]) if isinstance(node.get("type"), str) else None
    if kinds is not None:
        if isinstance(value, bool) and bool not in kinds:
            return False
        if not isinstance(value, kinds) and not (kinds == (int,) and isinstance(value, float) and value.is_integer()):
            return False
    return not isinstance(node.get("enum"), list) or value in node["enum"]


def _why(node: Mapping[str, Any], value: Any) -> str:
    kind = node.get("type")
    if isinstance(kind, str) and not _fits({"type": kind}, value):
        return f"it must be of type {kind}"
    return f"it must be one of {', '.join(map(str, node.get('enum', ())))[:80]}"
