"""What in the traffic of a real API is secret or personal by its name alone.

The credentials of a real API are not known beforehand, and what its spec does not describe, no `x-personal` can mark.
So a name decides: too much hidden does no harm, too little cannot be taken back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from sandbox.record.described import Described

Label = Callable[[str], str]

DEEPEST: Final = 200
_SECRET: Final = re.compile(
    r"(?:^|_)(?:tokens?|secrets?|pass(?:word|wd|phrase|code)|(?:api|access|private|secret|signing|encryption)_?key|signature|"
    r"credentials?|authorization|auth|session(?:_?id)?|sid|jwt|otp|pin|cv[vc]\d?|assertion|id_?token|apikey)$"
)
# In a header or a query every key is suspect, but this one is no credential.
_KEY: Final = re.compile(r"(?<!idempotency)_key$|^key$")
# Good for nothing but the place that they stand for.
_CURSOR: Final = re.compile(r"(?:^|_)(?:next|prev(?:ious)?|page|pagination|continuation|cursor|sync)_token$")
# Made for one message: worth hiding, but not worth looking for elsewhere.
_ONE_TIME: Final = re.compile(r"(?:^|_)(?:signature|otp|nonce|csrf_token|xsrf_token)$")
_PERSONAL: Final = re.compile(
    r"(?:^|_)(?:e_?mail(?:_?address)?|(?:tele)?phone(?:_?number)?|mobile(?:_?number)?|fax|name|firstname|lastname|surname|"
    r"fullname|username|street(?:_?\d)?|address(?:es)?(?:_?line)?(?:_?\d)?|additional_?line|post(?:al)?_?code|zip(?:_?code)?|"
    r"city|town|birth(?:_?(?:day|date))|date_of_birth|dob|gender|nationality|iban|bic|(?:account|card|passport|tax|vat|"
    r"social_security|insurance)_?(?:number|no|id)|vat_?id|ssn|ip(?:_?address)?|lat(?:itude)?|lng|longitude|recipient|"
    r"buyer|customer|contact)$"
)
_PARAMETER: Final = re.compile(r"(?<=[?&;])([^=&#;\s]+)=([^&#\s]*)")
_LABELLED: Final = re.compile(r"\[(?:personal|secret):[^\]]*\]")
# Fields within something personal that say nothing about a person.
_HARMLESS: Final = frozenset({"country", "country_code", "currency", "status", "type", "kind"})


def words(name: str) -> str:
    """A name as snake_case, however it was written: `X-Api-Key` and `xApiKey` are both `x_api_key`."""
    return re.sub(r"[^0-9a-z]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    snake = words(name)
    return _SECRET.search(snake) is not None and _CURSOR.search(snake) is None


def is_one_time(name: str) -> bool:
    """Whether a secret of this name serves one message only."""
    return _ONE_TIME.search(words(name)) is not None


def is_credential(name: str) -> bool:
    """Whether a header or a query parameter of this name holds a secret."""
    return is_secret(name) or _KEY.search(words(name)) is not None


def is_personal(name: str) -> bool:
    """Whether a field of this name holds personal data."""
    return _PERSONAL.search(words(name)) is not None


def hide(value: Any, described: Described | None, secret: Label, personal: Label, depth: int = 0) -> Any:
    """A copy of a JSON value without the secrets in it, and without what is personal where no schema describes it.

    Args:
        described: The schemas of the place; None where there are none that could be trusted to mark what is personal.
        secret: The label of a secret.
        personal: The label of a personal value.
    """
    if depth > DEEPEST:
        return personal("")
    if isinstance(value, dict):
        return {name: _hide_field(name, item, described, secret, personal, depth) for name, item in value.items()}
    if isinstance(value, list):
        items = None if described is None else described.items
        return [hide(item, items, secret, personal, depth + 1) for item in value]
    return hide_parameters(value, secret) if isinstance(value, str) else value


def _hide_field(name: str, value: Any, above: Described | None, secret: Label, personal: Label, depth: int) -> Any:
    described = None if above is None else above.member(name)
    if is_secret(name) and isinstance(value, str | int | float) and not isinstance(value, bool):
        return value if isinstance(value, str) and _LABELLED.fullmatch(value) else secret(str(value))
    if described is None and is_personal(name):
        return _leaves(value, secret, personal, depth)
    return hide(value, described, secret, personal, depth + 1)


def _leaves(value: Any, secret: Label, personal: Label, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if depth > DEEPEST:
        return personal("")
    if isinstance(value, dict):
        return {
            name: hide(item, None, secret, personal, depth + 1)
            if words(name) in _HARMLESS or is_secret(name) or words(name).endswith("id")
            else _leaves(item, secret, personal, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_leaves(item, secret, personal, depth + 1) for item in value]
    return value if isinstance(value, str) and _LABELLED.fullmatch(value) else personal(str(value))


def hide_parameters(text: str, secret: Label) -> str:
    """A text, such as a URL, without the secrets among the parameters in it."""
    if "=" not in text:
        return text

    def shown(found: re.Match[str]) -> str:
        name, value = found[1], unquote_plus(found[2])
        return f"{name}={secret(value)}" if value and is_credential(name) and not _LABELLED.match(value) else found[0]

    return _PARAMETER.sub(shown, text)


def equals_hidden(value: Any, labels: Mapping[str, str]) -> Any:
    """A copy of a JSON value in which each text that is one of the personal values is its label, wherever it stands."""
    if isinstance(value, dict):
        return {name: equals_hidden(item, labels) for name, item in value.items()}
    if isinstance(value, list):
        return [equals_hidden(item, labels) for item in value]
    return labels.get(value, value) if isinstance(value, str) else value
