"""Refusals in the shape that a spec declares for them; where it declares none, or our own, `application/problem+json`.

A problem's parts go where the names of fields tell: `message`, `code`, `errors`, `request_id`. The status is one that
the operation declares, if one says nearly the same: 422 where there is no 400.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from sandbox.clock import rfc3339
from sandbox.exchange import Exchange
from sandbox.inference.schemas import fields_of, items_of, kind_of, plain, required_of, scalar_of, schema_at
from sandbox.inference.words import words
from sandbox.model import JSON, PROBLEM, Answer, Problem, dump
from sandbox.operation import MediaType, Operation
from sandbox.spec import Spec
from sandbox.values import Muse

# What may stand in for a status that an operation does not declare, the nearest first.
NEAREST: Final[Mapping[int, tuple[int, ...]]] = {
    400: (422,),
    422: (400,),
    409: (422, 400),
    404: (410, 400),
    412: (409, 400),
    413: (400,),
    415: (400, 422),
    428: (400, 412),
    401: (403,),
    501: (500, 503),
}
_TEXTS: Final = frozenset(
    "message,detail,description,error description,error message,reason,msg,user message,details,explanation,text,"
    "developer message,long message,error msg,title message".split(",")
)
_TITLES: Final = frozenset("title,summary,short message,status text,name".split(","))
_CODES: Final = frozenset("code,type,error,error code,error type,category,key,kind,reason code,sub category".split(","))
_STATUSES: Final = frozenset("status,status code,http status,http status code,http code,error number".split(","))
_WHERE: Final = frozenset("field,pointer,path,param,property,source,location,attribute,field name,parameter".split(","))
_TRACES: Final = frozenset("request id,correlation id,trace id,id,transaction id,reference,log id".split(","))
_LISTS: Final = frozenset("errors,details,violations,messages,validation errors,elements,issues,problems".split(","))
# What the codes of a spec may call a status.
_SAID: Final[Mapping[int, tuple[str, ...]]] = {
    400: ("bad", "malformed", "validation", "field", "value", "parameter"),
    401: ("authentication", "authorization", "auth", "token", "credentials", "key"),
    403: ("permission", "access", "denied"),
    404: ("missing", "exist", "unknown", "resource"),
    409: ("exists", "duplicate", "already"),
    422: ("unprocessable", "validation", "field", "value"),
    429: ("rate", "limit", "throttled"),
    500: ("internal", "server", "unexpected"),
}
_DEEPEST: Final = 4


def refuse(problem: Problem, exchange: Exchange, operation: Operation | None, *, exact: bool = False) -> Answer:
    """The answer that a problem is.

    Args:
        exact: Whether its status must stay, declared or not, because somebody asked for it.
    """
    if operation is None:
        return problem.answer(exchange.path)
    status = problem.status if exact else status_for(problem.status, operation)
    media = _media(status, operation) or _usual(status, operation, exchange.spec)
    if media is not None and not exact:
        status = _sayable(status, media.schema, exchange.spec.document)
    if media is None:
        answer = problem.answer(exchange.path)
        return answer if status == problem.status else _as(answer, status, problem)
    shaped = _shaped(problem, status, exchange, media)
    if media.validator is not None and media.validator.errors(shaped):
        return problem.answer(exchange.path)
    headers = (("content-type", media.name if "*" not in media.name else JSON), *problem.headers.items())
    return Answer(status, headers, dump(shaped))


def _sayable(status: int, schema: Any, document: Mapping[str, Any], depth: int = 0) -> int:
    """The status, or the nearest of those that the body's own field for it may name."""
    for name, inner in fields_of(plain(schema or {}, document), document).items():
        field = plain(inner, document)
        if " ".join(words(name)) in _STATUSES and isinstance(field.get("enum"), list):
            options = {str(one) for one in field["enum"]}
            if str(status) not in options:
                return next((one for one in NEAREST.get(status, ()) if str(one) in options), status)
        elif depth < 2 and kind_of(field, document) == "object":
            status = _sayable(status, field, document, depth + 1)
    return status


def has_shape(media: MediaType | None, document: Mapping[str, Any]) -> bool:
    """Whether a refusal's body is declared field by field, so that it can be given in that shape."""
    if media is None or not media.is_json or media.schema is None or media.name == PROBLEM:
        return False
    schema = plain(media.schema, document)
    return bool(fields_of(schema, document)) or kind_of(schema, document) in ("array", "string")


def _as(answer: Answer, status: int, problem: Problem) -> Answer:
    document = {**problem.document(), "status": status}
    return Answer(status, answer.headers, dump(document))


def status_for(status: int, operation: Operation) -> int:
    """The status of a refusal: itself, else one that the operation declares and that says nearly the same."""
    if operation.response_for(status) is not None or _is_ours(operation):
        return status
    near = (one for one in NEAREST.get(status, ()) if str(one) in operation.responses)
    return next(near, status)


def _is_ours(operation: Operation) -> bool:
    """Whether the operation's refusals are problem documents already."""
    declared = (one for status, one in operation.responses.items() if not status.startswith(("1", "2", "3")))
    return any(PROBLEM in response.content for response in declared)


def _media(status: int, operation: Operation) -> MediaType | None:
    """The JSON that is declared for a refusal; that of another refusal where this one is not declared."""
    if _is_ours(operation):
        return None
    declared = operation.response_for(status)
    if declared is not None:
        media = declared.preferred
        return media if media is not None and media.is_json and media.schema is not None else None
    for code, response in operation.responses.items():
        media = response.preferred
        if code[:1] in "45d" and media is not None and media.is_json and media.schema is not None:
            return media
    return None


def _usual(status: int, operation: Operation, spec: Spec) -> MediaType | None:
    """Where an operation declares no refusal at all: the shape that the document's refusals have elsewhere; and where
    it has none anywhere, what its success says of errors."""
    if any(code[:1] in "45d" for code in operation.responses):
        return None
    key = f"refusal {status}"
    if key not in operation.cache:
        operation.cache[key] = _elsewhere(status, spec) or _of_success(operation, spec)
    known = operation.cache[key]
    return known if isinstance(known, MediaType) else None


def _elsewhere(status: int, spec: Spec) -> MediaType | None:
    """The commonest shape of the refusals with a status; else of all."""
    exact: Counter[MediaType] = Counter()
    others: Counter[MediaType] = Counter()
    same: dict[int, MediaType] = {}
    for operation in spec.operations.values():
        for code, response in operation.responses.items():
            media = response.preferred if code[:1] in "45d" else None
            if media is not None and has_shape(media, spec.document):
                first = same.setdefault(id(schema_at(spec.document, media.schema)), media)
                (exact if code == str(status) else others)[first] += 1
            elif media is not None and media.name == PROBLEM:
                return None
    return next((media for media, _ in (*exact.most_common(1), *others.most_common(1))), None)


def _of_success(operation: Operation, spec: Spec) -> MediaType | None:
    """A body that says `errors` beside what it says of a success: only those."""
    declared = operation.response_for(operation.success_status)
    media = None if declared is None else declared.preferred
    if media is None or not media.is_json:
        return None
    schema = plain(media.schema or {}, spec.document)
    errors = {
        name: one for name, one in fields_of(schema, spec.document).items() if name.lower() in ("errors", "error")
    }
    if not errors or required_of(schema, spec.document):
        return None
    return MediaType(media.name, {"type": "object", "required": [*errors], "properties": errors}, None)


def _shaped(problem: Problem, status: int, exchange: Exchange, media: MediaType) -> Any:
    document, shaper = exchange.spec.document, exchange.spec.shaper
    trace = f"req-{exchange.seq}"
    code = (problem.type or "").rpartition("/")[2] or _slug(problem.title)
    facts = {"text": problem.detail, "title": problem.title, "code": code, "status": status, "trace": trace}
    errors = problem.errors or [{"pointer": "", "detail": problem.detail}]
    known = _filled(media.schema, document, facts, errors, 0)
    now = rfc3339(exchange.world.clock.now())
    muse = Muse(exchange.world.faker("refusal", code), now)
    shaped = shaper.complete(media.schema, muse, known)
    for attempt in range(_DEEPEST):
        wrong = media.validator.errors(shaped) if media.validator is not None else []
        if not wrong:
            break
        for error in wrong:
            shaped = shaper.mend(media.schema, muse, shaped, error.pointer, attempt)
    return shaped


def _filled(
    schema: Any, document: Mapping[str, Any], facts: Mapping[str, Any], errors: list[dict[str, str]], depth: int
) -> Any:
    schema = plain(schema or {}, document)
    if kind_of(schema, document) == "array":
        return [_filled(items_of(schema, document) or {}, document, _one(facts, error), [], depth) for error in errors]
    found: dict[str, Any] = {}
    for name, inner in fields_of(schema, document).items():
        value = _fact(name, plain(inner, document), document, facts, errors, depth)
        if value is not None:
            found[name] = value
    return found or (facts["text"] if kind_of(schema, document) == "string" else {})


def _fact(
    name: str,
    schema: Mapping[str, Any],
    document: Mapping[str, Any],
    facts: Mapping[str, Any],
    errors: list[dict[str, str]],
    depth: int,
) -> Any:
    said, kind = " ".join(words(name)), kind_of(schema, document)
    schema = scalar_of(schema, document) if kind not in ("array", "object") else schema
    if kind == "array":
        if not errors or depth >= _DEEPEST or not (said in _LISTS or depth == 0):
            return None
        items = plain(items_of(schema, document) or {}, document)
        if kind_of(items, document) == "string":
            return [error.get("detail", "") for error in errors]
        return [_filled(items, document, _one(facts, error), [], depth + 1) for error in errors]
    if kind == "object":
        fields = fields_of(schema, document)
        wanted = said in ("error", "errors", "fault", "problem", "response", "meta", "data")
        return _filled(schema, document, facts, errors, depth + 1) if wanted and fields and depth < _DEEPEST else None
    if said in _STATUSES:
        return _status_as(facts["status"], said, kind, schema)
    if kind in ("integer", "number"):
        return facts["status"] if said in _CODES else None
    if kind == "boolean":
        return said in ("error", "failed", "is error") if said in ("success", "ok", "error", "failed") else None
    if said in _WHERE:
        return facts.get("where")
    if said in _TEXTS or (said in ("error", "errors") and "enum" not in schema and depth == 0):
        return facts["text"]
    for fact, names in (("title", _TITLES), ("code", _CODES), ("trace", _TRACES)):
        if said in names:
            return _option(schema["enum"], facts) if fact == "code" and schema.get("enum") else facts[fact]
    return None


def _option(options: list[Any], facts: Mapping[str, Any]) -> Any:
    """Which of the codes that a spec lists says it best, by their words; None where none does."""
    wanted = {*words(str(facts["code"])), *words(str(facts["title"]))} - {"error", "not"}
    near = {*_SAID.get(facts["status"], ()), *(("invalid", "request") if facts["status"] < 500 else ())}
    scored = [(3 * len({*words(str(one))} & wanted) + len({*words(str(one))} & near), str(one)) for one in options]
    best = max(scored, key=lambda pair: pair[0])
    return best[1] if best[0] else None


def _status_as(status: int, said: str, kind: str, schema: Mapping[str, Any]) -> int | str | None:
    """The status as a field has it; None where the field is for a word, such as `error`."""
    if kind in ("integer", "number"):
        return status
    numbers = said != "status" or "pattern" in schema or str(status) in map(str, schema.get("enum") or ())
    return str(status) if numbers or str(schema.get("example", ""))[:3].isdecimal() else None


def _one(facts: Mapping[str, Any], error: Mapping[str, str]) -> dict[str, Any]:
    where = error.get("pointer", "").removeprefix("/").replace("/", ".")
    return {**facts, "text": error.get("detail") or facts["text"], "where": where or None}


def _slug(text: str) -> str:
    return "_".join(words(text))
