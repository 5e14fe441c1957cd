"""What actions do to a record, what searches ask for, and what an answer tells of a page: by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from sandbox.inference.asking import ordered, says
from sandbox.inference.events import past_of
from sandbox.inference.schemas import fields_of, is_nullable, kind_of, parts, plain
from sandbox.inference.words import words
from sandbox.model import Json, Problem, Reply
from sandbox.spec import Collection
from sandbox.values import Muse, converted

_PDF: Final = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
_PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645"
    "400000000049454e44ae426082"
)
_FACTS: Final[Mapping[str, str]] = {
    word: fact
    for fact, said in {
        "total": "total,total count,total results,total elements,total items,count total,total records,total size,"
        "record count,total entries,totalcount,items count,item count",
        "count": "count,size,result count,number of elements,current item count",
        "limit": "per page,limit,page size,items per page,page limit,max results,pagesize",
        "page": "current page,page,page number,number,page index",
        "pages": "total pages,pages,page count,last page,pages total,number of pages",
        "offset": "offset,skip,start,start index",
        "more": "has more,more,has next,has next page,more results,has more items,next page exists",
        "next": "next,next page,next cursor,next page token,next token,cursor,after,end cursor,continuation token,"
        "starting after,next page cursor,token,page token",
        "next_url": "next link,next url,next page url,next page uri,next href,link",
        "self_url": "self,self link,url,href,current,first",
    }.items()
    for word in said.split(",")
}
_JOINS: Final[Mapping[str, Callable[[Iterable[bool]], bool]]] = {"and": all, "or": any}
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">": lambda found, wanted: found != wanted and ordered(found, wanted, lowest=True),
    "<": lambda found, wanted: found != wanted and ordered(found, wanted, lowest=False),
    "gt": lambda found, wanted: found != wanted and ordered(found, wanted, lowest=True),
    "lt": lambda found, wanted: found != wanted and ordered(found, wanted, lowest=False),
    "gte": lambda found, wanted: ordered(found, wanted, lowest=True),
    "lte": lambda found, wanted: ordered(found, wanted, lowest=False),
}
# Pages are told of forwards only.
_BEFORE: Final = (("prev",), ("previous",))
_URLS: Final = frozenset(("links", "link", "_links", "urls"))


def merge_patch(target: Json, patch: Json) -> Json:
    """Apply a JSON Merge Patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def patched(stored: dict[str, Json], patch: dict[str, Json], spec: Collection) -> dict[str, Json]:
    """The record with a merge patch applied; a required field that may be null becomes null, and none vanishes.

    Raises:
        Problem: 400 when a required field were to vanish.
    """
    changed: dict[str, Json] = merge_patch(stored, patch)
    for name in sorted(spec.required & stored.keys() - changed.keys()):
        if not is_nullable(spec.fields.get(name, {})):
            errors = [{"pointer": f"/{name}", "detail": "cannot be removed"}]
            raise Problem(400, f"{name} cannot be removed", type="validation", errors=errors)
        changed[name] = None
    if spec.id_field in stored:
        changed[spec.id_field] = stored[spec.id_field]
    return changed


def outcome(verb: str, fields: Mapping[str, Any], muse: Muse) -> dict[str, Json]:
    """What an action changes in a record: its status, its flags and the moment, as far as the schema's names tell."""
    past, stem = past_of(verb), (words(verb) or ("",))[0].rstrip("e")
    changed: dict[str, Json] = {}
    for name, schema in fields.items():
        said = words(name)
        options = schema.get("enum") or next((o["enum"] for o in schema.get("anyOf") or () if "enum" in o), None)
        if said[-1:] in (("status",), ("state",)) and isinstance(options, list):
            texts = [one for one in options if isinstance(one, str)]
            found = next((one for one in texts if "_".join(words(one)) in past), None)
            found = found or next((one for one in texts if len(stem) > 2 and one.lower().startswith(stem)), None)
            if found is not None:
                changed[name] = found
        elif schema.get("type") == "boolean" and ({*said[:1], *said[-1:]} & set(past) or said == ("is", past[0])):
            changed[name] = True
        elif said[:1] and said[0] in past and said[-1] in ("at", "on", "date", "time"):
            changed[name] = muse.unix if schema.get("type") == "integer" else muse.timestamp
    return changed


def flat_search(body: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a search, be they at the top of its body or in `pagination`, `page`, `filter`."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        if isinstance(value, Mapping) and words(name) in (("pagination",), ("paging",), ("page",)):
            found |= value
        elif not isinstance(value, Mapping):
            found[name] = value
    return found


def search(body: Mapping[str, Any], fields: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a record is what a search's body asks for.

    Understood are fields by name (in the body, in `filter`, `query` or `where`), lists of `{field, operator, value}`
    (in groups, any of which will do), and a text that is to occur somewhere.
    """
    equals = {name: value for name, value in body.items() if name in fields and not isinstance(value, dict | list)}
    for outer in ("filter", "filters", "query", "where"):
        inner = body.get(outer)
        if isinstance(inner, Mapping) and not _is_rule(inner):
            equals |= {name: value for name, value in inner.items() if not isinstance(value, dict | list)}
    groups = [_rules(group) for group in body.get("filterGroups") or body.get("filter_groups") or []]
    groups += [rules] if (rules := _rules(body)) else []
    asked = [rule for outer in ("query", "filter", "where") if (rule := body.get(outer)) and _is_rule(rule)]
    text = next((body[name] for name in ("query", "q", "search", "text") if isinstance(body.get(name), str)), "")

    def keeps(record: Mapping[str, Any]) -> bool:
        if any(not _holds(record, name, "eq", value) for name, value in equals.items() if _known(record, name)):
            return False
        if not all(_keeps(record, rule) for rule in asked):
            return False
        if groups and not any(all(_holds(record, *rule) for rule in group) for group in groups):
            return False
        return not text or says(record, text.lower())

    return keeps


def _rules(group: Any) -> list[tuple[str, str, Any]]:
    rules = group.get("filters") if isinstance(group, Mapping) else None
    return [rule for one in rules if (rule := _rule(one))] if isinstance(rules, list) else []


def _rule(rule: Any) -> tuple[str, str, Any] | None:
    """(field, operator, value) of `{field, operator, value}`, by the names that these go by."""
    if not isinstance(rule, Mapping):
        return None
    name = rule.get("field") or rule.get("propertyName") or rule.get("name") or rule.get("property")
    value = rule.get("value", rule.get("values"))
    return (name, str(rule.get("operator", "eq")).lower(), value) if isinstance(name, str) else None


def _is_rule(rule: Any) -> bool:
    """Whether something is a rule, or several that are joined: `{operator: AND, value: [rule, …]}`."""
    if not isinstance(rule, Mapping) or "value" not in rule:
        return False
    return _rule(rule) is not None or str(rule.get("operator")).lower() in _JOINS


def _keeps(record: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    joined, rules = _JOINS.get(str(rule.get("operator")).lower()), rule.get("value")
    if joined is not None and isinstance(rules, list):
        return joined(_keeps(record, one) for one in rules if _is_rule(one))
    found = _rule(rule)
    return found is None or _holds(record, *found)


def _known(record: Mapping[str, Any], name: str) -> bool:
    return name in record or any(isinstance(part, Mapping) and name in part for part in record.values())


def _holds(record: Mapping[str, Any], name: str, operator: str, wanted: Any) -> bool:
    found = record.get(name)
    if name not in record:
        found = next((part[name] for part in record.values() if isinstance(part, Mapping) and name in part), None)
    if operator in ("has_property", "exists"):
        return found is not None
    if operator in ("in", "any"):
        return str(found) in [str(one) for one in wanted or ()]
    if operator in ("neq", "ne", "!="):
        return str(found) != str(wanted)
    if operator in _ORDERS:
        return _ORDERS[operator](found, wanted)
    if operator in ("contains", "contains_token", "like", "~"):
        return str(wanted).strip("*%").lower() in str(found).lower()
    return found == wanted or str(found) == str(wanted)


def tell(schema: Any, document: Mapping[str, Any], body: dict[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with what it says of its page, by the names of its fields."""
    return _told(plain(schema, document), document, body, facts, tuple(facts.get("place") or ()), "", 0)


def tells_total(schema: Any, document: Mapping[str, Any], depth: int = 0) -> bool:
    """Whether an answer has a field for how many records, or pages, there are in all."""
    for name, inner in fields_of(plain(schema, document), document).items():
        if told_by(name) in ("total", "pages", "count"):
            return True
        nested = depth < 3 and kind_of(plain(inner, document), document) == "object"
        if nested and tells_total(inner, document, depth + 1):
            return True
    return False


def told_by(name: str) -> str | None:
    """What a field of an answer tells of a page; `@odata.count` is a count."""
    said = words(name)
    return _FACTS.get(" ".join(said[1:] if said[:1] == ("odata",) else said))


def _told(
    schema: Mapping[str, Any],
    document: Mapping[str, Any],
    body: dict[str, Any],
    facts: Mapping[str, Any],
    place: tuple[str, ...],
    outer: str,
    depth: int,
) -> dict[str, Any]:
    told = dict(body)
    fields = fields_of(schema, document)
    numbered = any(told_by(name) in ("page", "pages") for name in fields)
    has_total = any(told_by(name) == "total" for name in fields)
    for name, inner in fields.items():
        if place and name == place[0]:
            if len(place) > 1 and isinstance(told.get(name), dict):
                told[name] = _told(plain(inner, document), document, told[name], facts, place[1:], name, depth + 1)
            continue
        fact = "limit" if numbered and words(name) == ("size",) else told_by(name)
        kind = kind_of(plain(inner, document), document)
        if kind == "object" and depth < 3:
            if words(name)[:1] in _BEFORE or (fact in ("next", "next_url") and not facts.get("more")):
                if name in _required(schema, document) and not _required(inner, document):
                    told.setdefault(name, {})
                continue
            found = _told(plain(inner, document), document, {}, facts, (), name, depth + 1)
            if found:
                told[name] = found
        elif fact is not None and name not in told:
            if fact == "count" and not has_total and facts.get("total") is not None:
                fact = "total"
            value = _value(fact, facts, inner, kind, outer)
            if value is not None:
                told[name] = value
            elif is_nullable(inner):
                told[name] = None
    return told


def _required(schema: Mapping[str, Any], document: Mapping[str, Any]) -> set[str]:
    return {name for part in parts(schema, document) for name in part.get("required", ())}


def _value(fact: str, facts: Mapping[str, Any], schema: Mapping[str, Any], kind: str, outer: str) -> Any:
    is_url = schema.get("format") in ("uri", "url") or outer.lower() in _URLS or fact in ("next_url", "self_url")
    if fact in ("next", "next_url"):
        if not facts.get("more"):
            return None
        if is_url:
            return facts.get("next_url")
        return facts["page"] + 1 if kind == "integer" and "page" in facts else facts.get("next")
    if fact == "self_url" and told_by(outer) in ("next", "next_url"):
        fact = "next_url"
    value = facts.get(fact)
    if value is None or isinstance(value, bool) != (kind == "boolean"):
        return None
    return converted("string", value) if kind == "string" and not isinstance(value, str) else value


def blob(media_type: str, status: int) -> Reply:
    """A body of a type that is no JSON: a document, a picture, or a line of text."""
    if media_type == "application/pdf":
        return Reply(_PDF, status, content_type=media_type)
    if media_type.startswith("image/"):
        return Reply(_PIXEL, status, content_type=media_type.replace("*", "png"))
    if media_type.endswith("xml"):
        return Reply(b"<sandbox/>", status, content_type=media_type)
    return Reply(b"sandbox\n", status, content_type=media_type.replace("*", "plain"))
