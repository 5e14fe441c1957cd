"""Everything that is wrong with an OpenAPI file, for `sandbox specs check`.

First whether it is OpenAPI 3.0 at all (`openapi-spec-validator`), then whether the sandbox can serve it, then the
house's own rules: snake_case operationIds, extensions that say something that exists, examples that keep their schemas.
Apart from `sandbox.spec` because the validator takes long to import and serving does not need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from openapi_spec_validator import OpenAPIV30SpecValidator

from sandbox.document import Document, escape, join, reference, resolve, split
from sandbox.errors import SpecError
from sandbox.operation import Operation
from sandbox.schema import Direction, FieldError, Translator
from sandbox.spec import Spec, is_json

_SNAKE: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_INSTANCE: Final = re.compile(r"^[\[{\"].*?[\]}\"] (?=is |has |does )")
_LITERALS: Final = frozenset({"example", "examples", "default", "enum"})
_NAMED_MAPS: Final = frozenset(
    {"properties", "schemas", "responses", "parameters", "requestBodies", "headers", "callbacks"}
)
_SCHEMA_WORDS: Final = frozenset({"type", "properties", "items", "allOf", "anyOf", "oneOf"})
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_MAX_MESSAGE: Final = 200


def check(path: Path) -> list[str]:
    """All findings about one file, by line, each as `file:line pointer: message`; `[]` when it is good."""
    try:
        document = Document.read(path)
    except SpecError as error:
        return [error.message]
    spec, errors = Spec.inspect(document)
    findings = [error.message for error in errors]
    if spec is None:
        return findings
    rules = (
        _openapi(document),
        _certificate(document),
        _operations(spec),
        _compiled(spec, document),
        _marks(document),
        _examples(document),
    )
    findings += [f"{document.place(pointer)}: {message}" for rule in rules for pointer, message in rule]
    return sorted(dict.fromkeys(findings), key=_line)


def invalid(document: Document) -> SpecError:
    """The error that says where a document, which something stumbled over, is no good OpenAPI 3.0."""
    pointer, message = next(_openapi(document), ("", "it is no valid OpenAPI 3.0"))
    return document.error(pointer, message, "mend it; sandbox specs check FILE shows all that is wrong")


def _line(finding: str) -> int:
    found = re.search(r":(\d+)[ :]", finding)
    return int(found[1]) if found else 0


def _openapi(document: Document) -> Iterator[tuple[str, str]]:
    for error in OpenAPIV30SpecValidator(document.data).iter_errors():
        lines = str(error.message).splitlines() or ["is not valid"]
        message = _INSTANCE.sub("what stands here ", lines[0])
        yield join(*error.absolute_path), message[:_MAX_MESSAGE]


def _certificate(document: Document) -> Iterator[tuple[str, str]]:
    if document.data.get("x-client-certificate", "required") != "required":
        yield "/x-client-certificate", "can only be: required"


def _operations(spec: Spec) -> Iterator[tuple[str, str]]:
    for operation in spec.operations.values():
        at = operation.pointer
        if not _SNAKE.fullmatch(operation.id):
            yield f"{at}/operationId", f"the operationId {operation.id} is not snake_case"
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


def _compiled(spec: Spec, document: Document) -> Iterator[tuple[str, str]]:
    seen: set[int] = set()
    for pointer, validator in spec.validators():
        if id(validator) not in seen:
            seen.add(id(validator))
            try:
                validator.compile()
            except SpecError as error:
                target = reference(validator.schema)
                yield (target[1:] if target and _exists(document, target) else pointer), error.message


def _exists(document: Document, target: str) -> bool:
    try:
        resolve(document.data, {"$ref": target})
    except KeyError:
        return False
    return True


def _walk(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each object of the document but those inside examples, defaults and extensions."""
    stack: list[tuple[Any, str, bool]] = [(document.data, "", False)]
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
            if named or (key not in _LITERALS and not key.startswith("x-")):
                stack.append((value, f"{pointer}/{escape(key)}", not named and key in _NAMED_MAPS))


def _marks(document: Document) -> Iterator[tuple[str, str]]:
    for pointer, node in _walk(document):
        purposes = node.get("x-personal")
        if purposes is not None and not (
            isinstance(purposes, list) and purposes and all(isinstance(purpose, str) for purpose in purposes)
        ):
            yield f"{pointer}/x-personal", "x-personal must be a list of purposes, such as [delivery, billing]"


def _examples(document: Document) -> Iterator[tuple[str, str]]:
    requests, responses = Translator(document.data, "request"), Translator(document.data, "response")
    for pointer, node in _walk(document):
        tokens = split(pointer)
        schema = node.get("schema")
        translators: tuple[Translator, ...]
        if isinstance(schema, Mapping):
            media = tokens[-1].partition(";")[0].strip().lower() if tokens[-2:-1] == ["content"] else None
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


def _direction(tokens: list[str]) -> Direction:
    if "callbacks" in tokens:
        return "response"
    return "request" if {"requestBody", "requestBodies", "parameters"} & set(tokens) else "response"


def _values(document: Document, node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if "example" in node:
        yield "/example", node["example"]
    examples = node.get("examples")
    for name, raw in examples.items() if isinstance(examples, Mapping) else ():
        target = reference(raw)
        if target is not None and not _exists(document, target):
            continue
        example = resolve(document.data, raw)
        if isinstance(example, Mapping) and "value" in example:
            yield "/examples" + join(name) + ("" if target else "/value"), example["value"]
