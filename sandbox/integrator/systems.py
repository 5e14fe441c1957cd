"""The four systems, each behind a client of its own: its URL, its credential, its breaker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sandbox.clock import Clock
from sandbox.integrator.accounting import Accounting
from sandbox.integrator.auth import AccessToken, Credential, StaticKey
from sandbox.integrator.client import Client, SessionFactory
from sandbox.integrator.config import Config
from sandbox.integrator.crm import Crm, TokenEndpoint, client_key
from sandbox.integrator.pace import Backoff, Breaker
from sandbox.integrator.shipping import Shipping
from sandbox.integrator.shop import Shop
from sandbox.integrator.trace import Trace

__all__ = ["Systems"]


@dataclass(frozen=True)
class Systems:
    """What the integrator talks to."""

    shop: Shop
    crm: Crm
    accounting: Accounting
    shipping: Shipping

    @classmethod
    def connect(cls, config: Config, clock: Clock, sessions: SessionFactory, backoff: Backoff, trace: Trace) -> Self:
        """Prepare the clients; nothing is sent yet."""

        session = sessions()

        def client(name: str, url: str, credential: Credential, certificate: str | tuple[str, str] = "") -> Client:
            return Client(
                name,
                url,
                credential,
                session=session,
                verify=config.ssl_cert_file or True,
                certificate=certificate or None,
                clock=clock,
                breaker=Breaker(name, clock, backoff),
                trace=trace,
                timeout=(config.connect_timeout, config.read_timeout),
                answer_timeout=config.answer_timeout,
            )

        token_endpoint = TokenEndpoint(
            client("crm", config.crm_url, client_key(config.crm_client_id, config.crm_client_secret))
        )
        return cls(
            Shop(client("shop", config.shop_url, StaticKey("X-Shop-Api-Key", config.shop_api_key))),
            Crm(client("crm", config.crm_url, AccessToken(clock, token_endpoint.fetch))),
            Accounting(
                client(
                    "accounting", config.accounting_url, StaticKey("Authorization", f"Bearer {config.accounting_token}")
                )
            ),
            Shipping(
                client(
                    "shipping",
                    config.shipping_url,
                    StaticKey("X-Carrier-Key", config.shipping_api_key),
                    (config.shipping_client_cert, config.shipping_client_key)
                    if config.shipping_client_key
                    else config.shipping_client_cert,
                )
            ),
        )
