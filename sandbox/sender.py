"""How webhooks leave: over HTTP to this machine, and to other hosts only when they are allowed.

A host's name is resolved first, all its addresses are checked, and one of these addresses is connected to; what the
name means a moment later changes nothing (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

import httpx

from sandbox.errors import ServeError
from sandbox.model import Answer, Headers
from sandbox.outbox import DeliveryError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS: Final = {"http": 80, "https": 443}
_KEPT: Final = 20
_NAME: Final = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class AllowList:
    """Where webhooks may go besides this machine.

    Attributes:
        names: Hosts by name, whatever their addresses.
        networks: Hosts by address.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """From host names, addresses and networks such as `10.0.0.0/8`.

        Raises:
            ServeError: when one is neither.
        """
        names, networks = set[str](), list[IPNetwork]()
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]")))
            except ValueError:
                if _NAME.fullmatch(entry) is None:
                    raise ServeError(
                        f"webhooks cannot be allowed to go to {entry!r}",
                        "name a host, an address or a network: hooks.example, 10.1.2.3 or 10.0.0.0/8",
                    ) from None
                names.add(entry.lower())
        return cls(frozenset(names), tuple(networks))

    def permits(self, host: str, addresses: Iterable[IPAddress]) -> bool:
        """Whether a host with these addresses may be sent to."""
        return host in self.names or all(
            address.is_loopback or any(address in network for network in self.networks) for address in addresses
        )


class WebhookSender:
    """Hands signed events over (`sandbox.outbox.Sender`). Redirects are not followed.

    Args:
        allowed: Hosts besides this machine.
        authority: A file with certificates that https subscribers may be certified by, besides the usual ones.
    """

    def __init__(self, allowed: AllowList, authority: Path | None = None) -> None:
        self._allowed = allowed
        trust = httpx.create_ssl_context(trust_env=False)
        if authority is not None:
            trust.load_verify_locations(authority)
        self._http = _client(trust, _KEPT)
        # A kept connection would also be used for another name at the same address, whose certificate nobody checked.
        self._https = _client(trust, 0)

    async def aclose(self) -> None:
        await self._http.aclose()
        await self._https.aclose()

    async def __call__(self, url: str, headers: Headers, body: bytes, time_limit: float) -> Answer:
        try:
            async with asyncio.timeout(time_limit):
                answer = await self._post(url, headers, body)
                # The body of the answer says nothing (Standard Webhooks), however long it is.
                await answer.aclose()
        except TimeoutError:
            raise DeliveryError(f"no answer within {time_limit:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise DeliveryError(str(error) or type(error).__name__) from None
        return Answer(answer.status_code, tuple(answer.headers.items()))

    async def _post(self, url: str, headers: Headers, body: bytes) -> httpx.Response:
        """POST to the first of the host's addresses that takes a connection; `localhost` has two."""
        parts = urlsplit(url)
        client = self._https if parts.scheme == "https" else self._http
        targets = await self._targets(parts)
        for target in targets:
            request = client.build_request("POST", target, headers=list(headers), content=body)
            request.headers["host"] = parts.netloc.rpartition("@")[2]
            # The certificate has to be the named host's, not the address's.
            request.extensions["sni_hostname"] = parts.hostname
            try:
                return await client.send(request, stream=True)
            except httpx.ConnectError:
                if target == targets[-1]:
                    raise
        raise DeliveryError("the host has no address")

    async def _targets(self, parts: SplitResult) -> list[str]:
        """The URL with its host resolved, once for each address.

        Raises:
            DeliveryError: when it leads where webhooks may not go.
        """
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
        if host is None or port is None:
            raise DeliveryError("the URL is not an http(s) address")
        addresses = await _addresses(host, port)
        if not self._allowed.permits(host, addresses):
            raise DeliveryError(f"{host} is not on this machine, and webhooks may not go there (--allow-webhook-host)")
        return [parts._replace(netloc=f"{_written(address)}:{port}").geturl() for address in addresses]


def _client(trust: ssl.SSLContext, kept: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept)
    return httpx.AsyncClient(
        verify=trust, trust_env=False, follow_redirects=False, limits=limits, timeout=httpx.Timeout(None)
    )


async def _addresses(host: str, port: int) -> list[IPAddress]:
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(info[4][0]) for info in found))


def _written(address: IPAddress) -> str:
    return f"[{address}]" if address.version == 6 else str(address)
