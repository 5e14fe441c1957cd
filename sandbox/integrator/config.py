"""Everything that may differ between two installations, read from the environment once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

__all__ = ["Config", "ConfigError"]


_FILES = frozenset({"SSL_CERT_FILE", "SHIPPING_CLIENT_CERT", "SHIPPING_CLIENT_KEY"})


class ConfigError(Exception):
    """The environment does not describe an installation; the message is one line that says what to mend."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings; each is read from the environment variable of the same name in capitals.

    URLs have no trailing slash. Spans are seconds.

    Args:
        webhook_url: Where the shop delivers; by default `/webhooks` on the integrator's own port.
        port: The port to listen on; 0 takes a free one.
        data_file: The SQLite file that outlives the process; `:memory:` keeps nothing.
        connect_timeout: How long a system may take to accept a connection.
        read_timeout: How long a system may be silent.
        answer_timeout: How long a system may take for an answer, even if it is never silent.
        reconcile_every: The pace of the poll that makes up for lost webhooks, and of new tries for parked orders.
        max_attempts: Tries in a row without progress until an order is parked.
        backoff_base: The first retry comes after at most this span.
        backoff_cap: No retry waits longer, unless the system asked for it.
        webhook_tolerance: How far a webhook's timestamp may be from the clock.
        ssl_cert_file: Authorities to trust in place of the usual ones, a PEM file.
        shipping_client_cert: Shown to the carrier (mutual TLS), a PEM file.
        shipping_client_key: Its private key; may be left out where the certificate's file holds it as well.
    """

    shop_url: str
    shop_api_key: str = field(repr=False)
    crm_url: str
    crm_client_id: str
    crm_client_secret: str = field(repr=False)
    accounting_url: str
    accounting_token: str = field(repr=False)
    shipping_url: str
    shipping_api_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    webhook_url: str = ""
    port: int = 8421
    data_file: str = "integrator.db"
    connect_timeout: float = 10.0
    read_timeout: float = 10.0
    answer_timeout: float = 30.0
    reconcile_every: float = 300.0
    max_attempts: int = 8
    backoff_base: float = 0.5
    backoff_cap: float = 60.0
    webhook_tolerance: float = 300.0
    ssl_cert_file: str = ""
    shipping_client_cert: str = ""
    shipping_client_key: str = ""

    @classmethod
    def missing(cls, env: Mapping[str, str]) -> list[str]:
        """The variables that have no default and are not set."""
        return [_variable(f.name) for f in fields(cls) if f.default is MISSING and not env.get(_variable(f.name))]

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            ConfigError: when variables are missing, or one cannot be understood.
        """
        missing = cls.missing(env)
        if missing:
            raise ConfigError(f"missing in the environment: {', '.join(missing)}; `sandbox env` prints them all")
        given: dict[str, Any] = {
            f.name: _READERS[str(f.type)](_variable(f.name), env[_variable(f.name)])
            for f in fields(cls)
            if env.get(_variable(f.name))
        }
        return cls(**given)


def _variable(name: str) -> str:
    return name.upper()


def _text(variable: str, value: str) -> str:
    if variable in _FILES and not Path(value).is_file():
        raise ConfigError(f"{variable}: there is no file {value}; `sandbox up --tls` makes it")
    if not variable.endswith("_URL"):
        return value
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.netloc:
        raise ConfigError(f"{variable} is not a URL: {value!r}; expected for example http://127.0.0.1:8420/shop")
    return value.rstrip("/")


def _whole(variable: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal()):
        raise ConfigError(f"{variable} is not a whole number: {value!r}")
    return int(value)


def _span(variable: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{variable} is not a positive number of seconds: {value!r}")
    return seconds


_READERS: dict[str, Callable[[str, str], Any]] = {"str": _text, "int": _whole, "float": _span}
