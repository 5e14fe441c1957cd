"""Everything that is wrong with an OpenAPI file, for `sandbox specs check`.

What was found while it was read; then what the schema of OpenAPI itself says (`openapi-spec-validator`), whether each
schema compiles, and the house's own rules: extensions that say something that exists, examples that keep their schemas.
Apart from `sandbox.spec` because the validator takes long to import and serving does not need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from openapi_spec_validator import OpenAPIV30SpecValidator

from sandbox.bundle import FILES
from sandbox.defect import Defect
from sandbox.document import Document
from sandbox.errors import SpecError
from sandbox.field_error import Direction, FieldError
from sandbox.mending import METHODS
from sandbox.operation import Operation
from sandbox.pointer import escape, join, reference, resolve, split
from sandbox.schema import Translator
from sandbox.spec import Spec, is_json
from sandbox.text import doubles

_SNAKE: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_INSTANCE: Final = re.compile(r"^[\[{\"].*?[\]}\"] (?=is |has |does )")
_LITERALS: Final = frozenset({"example", "examples", "default", "enum"})
_NAMED_MAPS: Final = frozenset(
    {"properties", "schemas", "responses", "parameters", "requestBodies", "headers", "callbacks"}
)
_SCHEMA_WORDS: Final = frozenset({"type", "properties", "items", "allOf", "anyOf", "oneOf"})
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_MAX_MESSAGE: Final = 200
_FORMAL_UP_TO: Final = 400_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a spec.

    Args:
        file: Where it was written.
        line: From 1; None when that cannot be told.
        pointer: In that file.
        what: What is wrong, and what is made of it.
        hint: What to do about it.
        operation: `METHOD /path` of the operation that it takes down; empty when it is harmless.
        times: How many more there are like it.
    """

    file: str
    line: int | None
    pointer: str
    what: str
    hint: str = ""
    operation: str = ""
    times: int = 0

    @property
    def message(self) -> str:
        """All of it in one line."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        more = f" (and {self.times} more like it)" if self.times else ""
        return f"{f'{where} {self.pointer}' if self.pointer else where}: {self.what}{more}"

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "pointer": self.pointer,
            "what": self.what,
            "hint": self.hint,
            "severity": "down" if self.operation else "warning",
            "operation": self.operation or None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of one spec has found.

    Args:
        operations: How many it has.
        down: How many of them cannot be served.
        findings: By file and line.
    """

    spec: Spec
    operations: int
    down: int
    findings: tuple[Finding, ...]

    @property
    def together(self) -> list[Finding]:
        """The findings, those that say the same of other places told once."""
        alike: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            alike.setdefault((finding.what, finding.operation), []).append(finding)
        return [replace(found[0], times=len(found) - 1) for found in alike.values()]


def check(spec: Spec) -> Report:
    """All that is wrong with a spec that could be read."""
    document = spec.source
    defects = [*spec.defects]
    rules = (
        _twice(document),
        _openapi(document),
        _certificate(spec),
        _operations(spec),
        _marks(spec),
        _examples(spec),
    )
    defects += [Defect(pointer, message) for rule in rules for pointer, message in rule]
    broken = dict(spec.down)
    for defect in _compiled(spec):
        broken.setdefault(defect.down, defect)
        defects.append(defect)
    named = {
        f"{join('paths', path)}/{method}": f"{method.upper()} {path}"
        for path, item in spec.document["paths"].items()
        for method in METHODS
        if isinstance(item, Mapping) and method in item
    }
    known = {defect.pointer: defect for defect in broken.values()}
    found = [_finding(document, defect, named) for defect in dict.fromkeys([*defects, *known.values()])]
    found.sort(key=lambda finding: (finding.file != str(document.path), finding.file, finding.line or 0))
    return Report(spec, len(named), len(broken), tuple(dict.fromkeys(found)))


def _finding(document: Document, defect: Defect, named: Mapping[str, str]) -> Finding:
    file, line, pointer = document.found(defect.pointer)
    return Finding(file, line, pointer, defect.what, defect.hint, named.get(defect.down, defect.down))


def invalid(document: Document) -> SpecError:
    """The error that says where a document, which something stumbled over, is no good OpenAPI."""
    pointer, message = next(_openapi(document), ("", "it is no valid OpenAPI"))
    return document.error(pointer, message, "mend it; sandbox specs check FILE shows all that is wrong")


def _twice(document: Document) -> Iterator[tuple[str, str]]:
    """Keys that stand twice in JSON, where reading it does not notice; in YAML it does."""
    raw = document.path.read_text(encoding="utf-8-sig")
    if raw.lstrip()[:1] == "{":
        for one in doubles(raw):
            yield "", f"the key {one.key!r} stands twice (line {one.line + 1}); the later one counts"


def _openapi(document: Document) -> Iterator[tuple[str, str]]:
    """What the schema of OpenAPI itself finds, in documents of a size at which that takes no minutes."""
    large = document.path.stat().st_size > _FORMAL_UP_TO
    if large or document.sources or not document.version.startswith("3.0"):
        return
    try:
        errors = list(OpenAPIV30SpecValidator(document.data).iter_errors())
    except Exception:  # noqa: BLE001 - whatever it stumbles over has been mended, or is named by those who did
        return
    for error in errors:
        lines = str(error.message).splitlines() or ["is not valid"]
        message = _INSTANCE.sub("what stands here ", lines[0])
        yield join(*error.absolute_path), message[:_MAX_MESSAGE]


def _certificate(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.document.get("x-client-certificate", "required") != "required":
        yield "/x-client-certificate", "can only be: required"


def _operations(spec: Spec) -> Iterator[tuple[str, str]]:
    for operation in spec.operations.values():
        at = operation.pointer
        if not _SNAKE.fullmatch(operation.id):
            yield f"{at}/operationId", "the operationId is not snake_case"
        for event in operation.events:
            if event not in spec.events:
                yield f"{at}/x-event", f"no callback is named {event}; add one to the operation that subscribes"
        yield from _idempotency(operation)
        yield from _business_key(operation, spec)
        yield from _arguments(operation)


def _idempotency(operation: Operation) -> Iterator[tuple[str, str]]:
    headers = [parameter for parameter in operation.parameters if parameter.location == "header"]
    key = next((parameter for parameter in headers if parameter.name.lower() == "idempotency-key"), None)
    if operation.idempotency != "none" and key is None:
        yield f"{operation.pointer}/x-idempotency", "the operation declares no Idempotency-Key header parameter"
    elif key is not None and key.required != (operation.idempotency == "required"):
        what = "required" if key.required else "optional"
        yield f"{operation.pointer}/x-idempotency", f"the Idempotency-Key header parameter is {what}; both must agree"


def _business_key(operation: Operation, spec: Spec) -> Iterator[tuple[str, str]]:
    declared = {(parameter.location, parameter.name.lower()) for parameter in operation.parameters}
    addressed = operation.meaning.addressed
    collection = spec.collections.get(addressed[0]) if addressed else None
    for expression in operation.expressions:
        at = f"{operation.pointer}/x-business-key"
        if expression.source in ("path", "query", "header"):
            if (expression.source, expression.name.lower()) not in declared:
                yield at, f"{expression.text}: the operation has no {expression.source} parameter {expression.name}"
        elif expression.source == "body" and operation.body is None:
            yield at, f"{expression.text}: the operation takes no body"
        elif expression.source == "record":
            name = next(iter(split(expression.name)), "")
            if collection is None:
                yield at, f"{expression.text}: the path addresses no stored record"
            elif collection.fields and name not in collection.fields:
                yield at, f"{expression.text}: records of {collection.name} have no field {name}"


def _arguments(operation: Operation) -> Iterator[tuple[str, str]]:
    taken: dict[str, str] = {"body": "the request body"} if operation.body is not None else {}
    for parameter in operation.parameters:
        if parameter.location in ("path", "query"):
            if parameter.python_name in taken:
                other = taken[parameter.python_name]
                yield operation.pointer, f"as an argument, the parameter {parameter.name} has the name of {other}"
            taken[parameter.python_name] = f"the parameter {parameter.name}"


def _compiled(spec: Spec) -> Iterator[Defect]:
    """The schemas that cannot be compiled, and which operations they take down."""
    seen: dict[int, SpecError | None] = {}
    for pointer, validator in spec.validators():
        if id(validator) not in seen:
            try:
                validator.compile()
                seen[id(validator)] = None
            except SpecError as error:
                seen[id(validator)] = error
        failed = seen[id(validator)]
        if failed is not None:
            target = reference(validator.schema)
            where = target[1:] if target and _exists(spec.document, target) else pointer
            tokens = split(pointer)
            down = join(*tokens[:3]) if tokens[:1] == ("paths",) and "callbacks" not in tokens else ""
            yield Defect(where, failed.message, failed.hint or "", down)


def _exists(document: Mapping[str, Any], target: str) -> bool:
    try:
        resolve(document, {"$ref": target})
    except KeyError:
        return False
    return True


def _walk(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each object of the document but those inside examples, defaults and extensions."""
    stack: list[tuple[Any, str, bool]] = [(document, "", False)]
    seen: set[int] = set()
    while stack:
        node, pointer, named = stack.pop()
        if not isinstance(node, dict | list) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, list):
            stack.extend((value, f"{pointer}/{index}", False) for index, value in enumerate(node))
            continue
        if not named:
            yield pointer, node
        for key, value in node.items():
            if named or (key not in _LITERALS and (not key.startswith("x-") or key == FILES)):
                stack.append((value, f"{pointer}/{escape(key)}", not named and key in _NAMED_MAPS))


def _marks(spec: Spec) -> Iterator[tuple[str, str]]:
    for pointer, node in _walk(spec.document):
        purposes = node.get("x-personal")
        if purposes is not None and not (
            isinstance(purposes, list) and purposes and all(isinstance(purpose, str) for purpose in purposes)
        ):
            yield f"{pointer}/x-personal", "x-personal must be a list of purposes, such as [delivery, billing]"


def _examples(spec: Spec) -> Iterator[tuple[str, str]]:
    document = spec.document
    requests, responses = Translator(document, "request"), Translator(document, "response")
    for pointer, node in _walk(document):
        tokens = split(pointer)
        schema = node.get("schema")
        translators: tuple[Translator, ...]
        if isinstance(schema, Mapping):
            media = tokens[-1].partition(";")[0].strip().lower() if tokens[-2:-1] == ("content",) else None
            if media is not None and not is_json(media) and media not in _FORMS:
                continue
            translators = (requests if _direction(tokens) == "request" else responses,)
        elif _SCHEMA_WORDS & node.keys() and "example" in node and isinstance(node.get("type", ""), str):
            # A schema may serve both directions; it is enough that its example fits one.
            schema, translators = node, (responses, requests)
        else:
            continue
        for where, value in _values(document, node):
            errors = [_errors(translator, schema, value) for translator in translators]
            if all(errors):
                first = errors[0][0]
                yield pointer + where + first.pointer, f"the example does not keep its schema: it {first.detail}"


def _errors(translator: Translator, schema: Mapping[str, Any], value: Any) -> list[FieldError]:
    try:
        return translator.validator(schema).errors(value)
    except SpecError:
        return []


def _direction(tokens: tuple[str, ...]) -> Direction:
    if "callbacks" in tokens:
        return "response"
    return "request" if {"requestBody", "requestBodies", "parameters"} & set(tokens) else "response"


def _values(document: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if "example" in node:
        yield "/example", node["example"]
    examples = node.get("examples")
    for name, raw in examples.items() if isinstance(examples, Mapping) else ():
        target = reference(raw)
        if target is not None and not _exists(document, target):
            continue
        example = resolve(document, raw)
        if isinstance(example, Mapping) and "value" in example:
            yield "/examples" + join(name) + ("" if target else "/value"), example["value"]
