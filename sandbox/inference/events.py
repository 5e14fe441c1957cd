"""Events: which of those that a spec declares an operation brings about, by their names (`order.created`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sandbox.inference.meaning import Meaning
from sandbox.inference.words import singulars, words

_PAST: Final = {
    "pay": "paid",
    "send": "sent",
    "buy": "purchased",
    "purchase": "purchased",
    "open": "open",
    "reopen": "open",
    "activate": "active",
    "deactivate": "inactive",
    "resume": "active",
    "hold": "held",
    "submit": "submitted",
    "void": "voided",
    "finalize": "open",
    "ship": "shipped",
}
_SAID: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("created", "create", "new", "added", "add", "placed", "issued", "received", "opened", "registered"),
    "change": ("updated", "update", "changed", "change", "modified", "edited", "edit"),
    "delete": ("deleted", "delete", "removed", "remove", "archived", "deletion"),
}
_URLS: Final = frozenset(
    "url,target url,callback url,endpoint,address,delivery url,notification url,webhook url,destination,uri,callback,"
    "target,hook url,endpoint url".split(",")
)
_LISTS: Final = frozenset("events,event types,topics,enabled events,event,topic,types,event type,triggers".split(","))
_HOOKS: Final = frozenset(("webhook", "hook", "webhooks", "hooks"))
_KINDS: Final = {"create": "create", "patch": "change", "replace": "change", "upsert": "create", "delete": "delete"}


def past_of(verb: str) -> tuple[str, ...]:
    """What a record is called once this was done to it: `cancelled` and `canceled`."""
    last = (words(verb) or ("",))[0]
    if last in _PAST:
        return (_PAST[last], f"{last}ed")
    if last.endswith("e"):
        return (f"{last}d",)
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return (f"{last[:-1]}ied",)
    return (f"{last}ed", f"{last}{last[-1:]}ed")


def events_of(meaning: Meaning, names: Iterable[str]) -> tuple[str, ...]:
    """The events that an operation of this meaning brings about.

    Args:
        names: Of all events that the document declares.
    """
    if meaning.collection is None or meaning.single:
        return ()
    kind = _KINDS.get(meaning.action)
    verbs = set(_SAID[kind]) if kind is not None else set()
    if meaning.action == "act":
        verbs = {*past_of(meaning.verb), meaning.verb}
    noun = singulars(meaning.collection)
    return tuple(name for name in names if _is_about(name, noun, verbs))


def _is_about(name: str, noun: tuple[str, ...], verbs: set[str]) -> bool:
    said = words(name)
    for verb, rest in ((said[-1:], said[:-1]), (said[:1], said[1:])):
        if verb and verb[0] in verbs and rest:
            about = singulars("_".join(rest))
            if about == noun or about[-len(noun) :] == noun or about == noun[-1:]:
                return True
    return False


def subscription_of(record: Mapping[str, Any], collection: str, events: list[str]) -> dict[str, Any] | None:
    """A subscription as the outbox keeps it, made of a record that is one by its names; None when it is none.

    Args:
        collection: Where the record is kept.
        events: The names of all events that the document declares.
    """
    by_words = {" ".join(words(name)): value for name, value in record.items()}
    url = next((value for name, value in by_words.items() if name in _URLS and isinstance(value, str)), None)
    said = next((by_words[name] for name in by_words if name in _LISTS and by_words[name]), None)
    hooks = bool(_HOOKS & set(words(collection))) or (
        singulars(collection)[-1:] == ("subscription",) and said is not None
    )
    if url is None or not hooks:
        return None
    wanted = {words(one) for one in (said if isinstance(said, list) else [said]) if isinstance(one, str)}
    chosen = [event for event in events if not wanted or ("all",) in wanted or () in wanted or words(event) in wanted]
    return {"url": url, "events": chosen or events}
