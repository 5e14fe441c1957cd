"""OpenAPI schema objects as JSON Schema 2020-12, compiled by `jsonschema_rs` on first use.

OpenAPI 3.1's are that already; they keep all their keywords.

What OpenAPI 3.0 says in its own words is translated: `nullable`, boolean `exclusiveMinimum` and `exclusiveMaximum`, the
integer formats' bounds, `readOnly` and `writeOnly`. Keywords that are foreign to JSON Schema (`example`,
`discriminator`, `xml`, `externalDocs`, `x-*`) and mere annotations are dropped. `$ref` stays a reference, into the
`$defs` of the result, so that recursion works.

`readOnly` in a request (OpenAPI 3.0.3, "SHOULD NOT be sent"): the field is never required. Sent all the same, a valid
value is ignored, so that what was read can be sent back; but where its object sets `additionalProperties: false`,
the author asked for strictness and it is refused. `writeOnly` in a response: never required, and refused when present.

`nullable: true` admits null beside `enum`, `allOf` and `$ref` wrappers too, as authors mean it.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import jsonschema_rs
import orjson

from sandbox.errors import SpecError
from sandbox.field_error import MAX_ERRORS, Direction, FieldError, field_errors
from sandbox.pointer import escape, reference, resolve

Schema: TypeAlias = Mapping[str, Any]
# What makes a definition: the reference, and the names that its siblings in an `allOf` hide from its `required`.
_Key: TypeAlias = tuple[str, frozenset[str]]
_Uses: TypeAlias = dict[str, _Key]

MAX_DEPTH: Final = 512
# Valid texts of so many bytes together are remembered for each schema.
_MOST_KNOWN: Final = 256 * 1024

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_KEPT: Final = frozenset(
    "type enum const pattern multipleOf minimum maximum minLength maxLength minItems maxItems uniqueItems "
    "minProperties maxProperties minContains maxContains dependentRequired".split()
)
_FORMATS: Final = frozenset(
    "byte date date-time duration email hostname ipv4 ipv6 iri iri-reference json-pointer regex relative-json-pointer "
    "time uri uri-reference uri-template uuid".split()
)
_INTEGER_BOUNDS: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
# Stands among those names where a part of an `allOf` may not close what the other parts bring.
_OPEN: Final = frozenset({"\0open"})
_COMPOSITES: Final = ("allOf", "anyOf", "oneOf")
_SCHEMAS: Final = (
    *("items", "not", "additionalProperties", "contains", "propertyNames"),
    *("unevaluatedProperties", "unevaluatedItems"),
)
_CONDITIONS: Final = ("if", "then", "else")
_NAMED: Final = ("patternProperties", "dependentSchemas")
# An object of which no more is said can be validated field by field.
_SEPARABLE: Final = frozenset({"type", "required", "properties", "additionalProperties"})
_ANNOTATIONS: Final = frozenset({"title", "description", "example", "examples", "externalDocs", "xml", "deprecated"})
# Beside these a `type` list alone would not let null pass.
_NULL_BLOCKERS: Final = frozenset({"const", "not", *_COMPOSITES})


class Translator:
    """Translates the schemas of one document for one direction; definitions that schemas share are translated once."""

    __slots__ = ("_definitions", "_names", "_validators", "direction", "document")

    def __init__(self, document: Schema, direction: Direction) -> None:
        self.document = document
        self.direction = direction
        self._names: dict[_Key, str] = {}
        self._definitions: dict[str, tuple[Any, _Uses]] = {}
        self._validators: dict[str | int, SchemaValidator] = {}

    def validator(self, schema: Schema) -> SchemaValidator:
        """The validator of a schema object; the same one for the same object or the same reference."""
        key = reference(schema) or id(schema)
        found = self._validators.get(key)
        if found is None:
            found = SchemaValidator(schema, document=self.document, direction=self.direction, translator=self)
            self._validators[key] = found
        return found

    def translate(self, schema: Schema) -> dict[str, Any]:
        """A complete JSON Schema: the schema and the `$defs` it reaches.

        Raises:
            SpecError: A reference leads nowhere, or something that is no schema stands where one is due.
        """
        pending: _Uses = {}
        root = self._convert(schema, pending, frozenset())
        definitions: dict[str, Any] = {}
        while pending:
            name, key = pending.popitem()
            if name in definitions:
                continue
            if name not in self._definitions:
                found: _Uses = {}
                converted = self._convert(self._resolve({"$ref": key[0]}), found, key[1])
                self._definitions[name] = (converted, found)
            definitions[name], uses = self._definitions[name]
            pending.update(uses)
        result: dict[str, Any] = {"$schema": _DIALECT, **(root if isinstance(root, dict) else {"allOf": [root]})}
        if definitions:
            result["$defs"] = definitions
        return result

    def _resolve(self, node: Any) -> Any:
        try:
            return resolve(self.document, node)
        except KeyError as error:
            raise SpecError(f"the reference {error.args[0]} leads nowhere", "mend the $ref") from None

    def _convert(self, schema: Any, uses: _Uses, inherited: frozenset[str]) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            raise SpecError(f"a schema must be an object, not {schema!r:.40}", "mend the schema")
        target = reference(schema)
        if target is not None:
            key = (target, self._foreign_required(schema, inherited) | (inherited & _OPEN))
            name = self._names.get(key)
            if name is None:
                name = self._names[key] = self._new_name(target)
            uses[name] = key
            return {"$ref": f"#/$defs/{name}"}
        hidden = inherited | self._hidden(schema)
        result = {key: value for key, value in schema.items() if key in _KEPT}
        self._convert_bounds(schema, result)
        required = schema.get("required")
        if isinstance(required, list):
            result["required"] = [name for name in required if name not in hidden]
        if isinstance(schema.get("properties"), Mapping):
            result["properties"] = {
                name: self._convert_property(schema, value, uses) for name, value in schema["properties"].items()
            }
        result |= self._children(schema, uses, hidden)
        if schema.get("additionalProperties") is False and (inherited >= _OPEN or "allOf" in schema):
            # Of a whole that is composed, authors mean: nothing besides what its parts know together.
            del result["additionalProperties"]
            if not inherited >= _OPEN:
                result["unevaluatedProperties"] = False
        return _nullable(result) if schema.get("nullable") is True else result

    def _children(self, schema: Schema, uses: _Uses, hidden: frozenset[str]) -> dict[str, Any]:
        """The schemas that stand in a schema, but its properties."""
        result: dict[str, Any] = {}
        for keyword in _SCHEMAS:
            if keyword in schema:
                result[keyword] = self._convert(schema[keyword], uses, frozenset())
        for keyword in _CONDITIONS:
            if keyword in schema:
                result[keyword] = self._convert(schema[keyword], uses, hidden)
        for keyword in _NAMED:
            if isinstance(schema.get(keyword), Mapping):
                result[keyword] = {name: self._convert(value, uses, hidden) for name, value in schema[keyword].items()}
        if isinstance(schema.get("prefixItems"), list):
            result["prefixItems"] = [self._convert(part, uses, frozenset()) for part in schema["prefixItems"]]
        for keyword in _COMPOSITES:
            if isinstance(schema.get(keyword), list):
                several = keyword == "allOf" and (len(schema[keyword]) > 1 or "properties" in schema)
                passed = hidden | _OPEN if several else hidden - _OPEN if keyword != "allOf" else hidden
                result[keyword] = [self._convert(part, uses, passed) for part in schema[keyword]]
        return result

    def _convert_property(self, parent: Schema, value: Any, uses: _Uses) -> Any:
        refused = self.direction == "response" or parent.get("additionalProperties") is False
        return False if refused and self.is_hidden(value) else self._convert(value, uses, frozenset())

    @staticmethod
    def _convert_bounds(schema: Schema, result: dict[str, Any]) -> None:
        for plain, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            value = schema.get(exclusive)
            if value is True and plain in result:
                result[exclusive] = result.pop(plain)
            elif value is not None and not isinstance(value, bool):
                result[exclusive] = value
        form = schema.get("format")
        if form in _INTEGER_BOUNDS and schema.get("type") == "integer":
            low, high = _INTEGER_BOUNDS[form]
            result["minimum"] = max(low, result.get("minimum", low))
            result["maximum"] = min(high, result.get("maximum", high))
        elif form in _FORMATS:
            result["format"] = form

    def is_hidden(self, value: Any) -> bool:
        """Whether a property is not to be seen in this direction."""
        keyword = "readOnly" if self.direction == "request" else "writeOnly"
        if not isinstance(value, Mapping):
            return False
        return value.get(keyword) is True or (
            reference(value) is not None and self._resolve(value).get(keyword) is True
        )

    def _all_of(self, schema: Any) -> Iterator[Schema]:
        """The schema and what it is composed of by `allOf`, through references."""
        seen: set[int] = set()
        stack = [schema]
        while stack:
            part = self._resolve(stack.pop())
            if isinstance(part, Mapping) and id(part) not in seen:
                seen.add(id(part))
                yield part
                stack.extend(part["allOf"] if isinstance(part.get("allOf"), list) else ())

    def _hidden(self, schema: Schema) -> frozenset[str]:
        return frozenset(
            name
            for part in self._all_of(schema)
            if isinstance(part.get("properties"), Mapping)
            for name, value in part["properties"].items()
            if self.is_hidden(value)
        )

    def _foreign_required(self, schema: Schema, inherited: frozenset[str]) -> frozenset[str]:
        """Names that the referenced schema requires and that only a sibling in an `allOf` declares as hidden."""
        if not inherited:
            return inherited
        parts = list(self._all_of(schema))
        required = {name for part in parts if isinstance(part.get("required"), list) for name in part["required"]}
        return (inherited & required) - self._hidden(schema)

    def _new_name(self, target: str) -> str:
        stem = target.removeprefix("#/components/schemas/").removeprefix("#/")
        stem = re.sub(r"[^A-Za-z0-9_.-]", "_", stem) or "document"
        taken = set(self._names.values())
        return next(name for n in itertools.count() if (name := f"{stem}_{n}" if n else stem) not in taken)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if kind is None or _NULL_BLOCKERS & schema.keys():
        return {"anyOf": [schema, {"type": "null"}]}
    schema["type"] = [*([kind] if isinstance(kind, str) else kind), "null"]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema


def to_json_schema(schema: Schema, *, document: Schema, direction: Direction) -> dict[str, Any]:
    """An OpenAPI 3.0 schema object as a JSON Schema 2020-12 with all it refers to in `$defs`.

    Args:
        schema: The schema object, or a reference to one.
        document: The OpenAPI document in which its references lie.
        direction: `request` for what a client sends, `response` for what a server answers or emits.

    Raises:
        SpecError: A reference leads nowhere, or something that is no schema stands where one is due.
    """
    return Translator(document, direction).translate(schema)


class SchemaValidator:
    """Validates JSON values against one schema object; compiled on first use and then kept.

    Formats are asserted. Safe to use from several threads.
    """

    __slots__ = ("_compiled", "_known", "_recursive", "_translator", "_valid", "schema")

    def __init__(
        self, schema: Schema, *, document: Schema, direction: Direction, translator: Translator | None = None
    ) -> None:
        self.schema = schema
        self._translator = translator or Translator(document, direction)
        self._compiled: jsonschema_rs.Validator | None = None
        self._recursive = False
        # Texts that were found valid; the same ones come again and again.
        self._valid: set[bytes] = set()
        self._known = 0

    @property
    def direction(self) -> Direction:
        return self._translator.direction

    def compile(self) -> jsonschema_rs.Validator:
        """The compiled validator.

        Raises:
            SpecError: The schema is not valid, for example by a pattern that is no regular expression.
        """
        if self._compiled is None:
            translated = self._translator.translate(self.schema)
            self._recursive = _is_recursive(translated)
            try:
                self._compiled = jsonschema_rs.Draft202012Validator(
                    translated, formats={"byte": _is_base64}, validate_formats=True
                )
            except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
                path = "".join("/" + escape(token) for token in getattr(error, "instance_path", ()))
                what = " ".join(str(getattr(error, "message", error)).split())
                raise SpecError(f"the schema cannot be compiled: {what} at {path or '/'}", "mend the schema") from None
        return self._compiled

    def apart(self, field: str) -> Apart | None:
        """Itself in two, where it takes an object of which one field is described elsewhere, and by nothing else.

        Args:
            field: Its name.
        """
        schema = resolve(self._translator.document, self.schema)
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        if not isinstance(properties, Mapping):
            return None
        part = properties.get(field)
        plain = {key for key in schema if key not in _ANNOTATIONS and not key.startswith("x-")}
        if not isinstance(part, Mapping) or list(part) != ["$ref"] or not plain <= _SEPARABLE:
            return None
        if self._translator.is_hidden(part):
            return None
        shell = self._translator.validator({**schema, "properties": {**properties, field: {}}})
        return Apart(shell, self._translator.validator(part))

    def is_valid(self, value: Any) -> bool:
        """Whether a JSON value conforms; faster than `errors`."""
        compiled = self._compiled or self.compile()
        try:
            # The recursion of a schema runs on the thread's own stack, which the process would not survive.
            return not (self._recursive and _is_deeper(value, MAX_DEPTH)) and compiled.is_valid(value)
        except ValueError:
            return False

    def errors_of(self, text: bytes, value: Any = None) -> list[FieldError]:
        """What is wrong with a JSON text; one that was valid before is known.

        Args:
            value: What it says, for those who have it at hand.
        """
        if text in self._valid:
            return []
        errors = self.errors(orjson.loads(text) if value is None else value)
        if not errors and len(text) <= _MOST_KNOWN:
            self._known += len(text)
            if self._known > _MOST_KNOWN:
                self._valid.clear()
                self._known = len(text)
            self._valid.add(text)
        return errors

    def errors(self, value: Any) -> list[FieldError]:
        """What is wrong with a JSON value: `[]` when it is valid, else 1 to 20 errors."""
        if self.is_valid(value):
            return []
        if _is_deeper(value, MAX_DEPTH):
            return [FieldError("", "is nested too deeply")]
        try:
            found = list(itertools.islice(self._translate_errors(self.compile().iter_errors(value)), MAX_ERRORS))
        except UnicodeEncodeError:
            return [FieldError("", "must not contain lone surrogates")]
        except ValueError:
            return [FieldError("", "is no JSON value")]
        return found or [FieldError("", "is not valid")]

    def _translate_errors(self, errors: Iterable[jsonschema_rs.ValidationError]) -> Iterator[FieldError]:
        seen: set[FieldError] = set()
        for error in errors:
            for found in field_errors(error, self.direction):
                if found not in seen:
                    seen.add(found)
                    yield found


class Apart(NamedTuple):
    """A validator in two: of an object whatever its one field holds, and of what that field holds."""

    shell: SchemaValidator
    part: SchemaValidator


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_recursive(translated: Mapping[str, Any]) -> bool:
    """Whether some definition reaches itself."""
    definitions: Mapping[str, Any] = translated.get("$defs", {})
    uses = {name: set(_references(schema)) for name, schema in definitions.items()}
    # Definitions that refer only to already removed ones are removed; what stays lies on or before a cycle.
    while free := [name for name, targets in uses.items() if not targets & uses.keys()]:
        for name in free:
            del uses[name]
    return bool(uses)


def _references(node: Any) -> Iterator[str]:
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            target = item.get("$ref")
            if isinstance(target, str):
                yield target.removeprefix("#/$defs/")
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
