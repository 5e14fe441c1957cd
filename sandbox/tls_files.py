"""Where the certificates lie that TLS needs: known before anything runs, so that programs can be told of them."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sandbox.cache import cache_folder
from sandbox.errors import ServeError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the local authority, and the client certificate that it issued, lie as PEM files."""

    folder: Path
    authority: str = "ca.pem"

    @classmethod
    def at(cls, folder: Path | None = None) -> TlsFiles:
        """In a folder; left out, in the user's cache, which is the same wherever a command runs.

        Raises:
            ServeError: when the user has no home, so no cache.
        """
        return cls(_cache() / "integration-sandbox" / "tls" if folder is None else folder.absolute())

    @property
    def ca(self) -> Path:
        return self.folder / self.authority

    @property
    def ca_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def client_cert(self) -> Path:
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        return self.folder / "client.key"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server shows and trusts, as PEM texts.

    Attributes:
        certificate: Its private key and its certificates.
        authority: Whose client certificates it trusts.
    """

    certificate: str
    authority: str

    def context(self) -> ssl.SSLContext:
        """The same for a server's sockets; a client need not show a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # It is read from files only.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(self.certificate)
            file.flush()
            context.load_cert_chain(file.name)
        context.load_verify_locations(cadata=self.authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context


def _cache() -> Path:
    try:
        return cache_folder()
    except RuntimeError:
        raise ServeError("there is no home for the certificates", "name a folder with --tls-dir") from None
