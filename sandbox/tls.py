"""TLS for the sandbox: an authority of its own, made once, and what it certifies.

The authority and the client certificate stay where they are from one start to the next, so that programs can be told to
trust them before anything runs; the server's certificate is made anew at each start, for the names that it then has.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from trustme import CA

from sandbox.errors import ServeError
from sandbox.tls_files import Shown, TlsFiles

_ORGANIZATION: Final = "Integration Sandbox"
_OWN_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class Authority:
    """The local authority.

    Args:
        files: Where it lies; made there when it is not.

    Raises:
        ServeError: when it cannot be read or made.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        try:
            if not files.ca_key.exists():
                _make(files)
            self._ca = CA.from_pem(files.ca.read_bytes(), files.ca_key.read_bytes())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ServeError(
                f"{files.folder}: no authority can be kept there: {reason}",
                "remove the folder, or name another with --tls-dir",
            ) from None

    def shown(self, names: Iterable[str] = ()) -> Shown:
        """What a server shows and asks for: a certificate for this machine and `names`; a client's, if it has one."""
        known = dict.fromkeys([*_OWN_NAMES, socket.gethostname(), *names])
        made = self._ca.issue_cert(*filter(self._can_certify, known), organization_name=_ORGANIZATION)
        return Shown(
            made.private_key_and_cert_chain_pem.bytes().decode("ascii"), self._ca.cert_pem.bytes().decode("ascii")
        )

    def _can_certify(self, name: str) -> bool:
        # A machine may have a name that no certificate can hold, such as one with an underscore.
        try:
            self._ca.issue_cert(name)
        except ValueError:
            return False
        return True


def _make(files: TlsFiles) -> None:
    """Make all files at once: another process that does the same at the same time sees none or all of them."""
    ca = CA(organization_name=_ORGANIZATION, organization_unit_name="Local authority for tests")
    client = ca.issue_cert(common_name="integrator", organization_name=_ORGANIZATION)
    files.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files.folder.parent, prefix=".tls-") as folder:
        made = TlsFiles(Path(folder) / "made")
        made.folder.mkdir(mode=0o700)
        ca.cert_pem.write_to_path(made.ca)
        _write_key(made.ca_key, ca.private_key_pem.bytes())
        client.cert_chain_pems[0].write_to_path(made.client_cert)
        _write_key(made.client_key, client.private_key_pem.bytes())
        try:
            made.folder.rename(files.folder)
        except OSError:
            if not files.ca_key.exists():
                raise


def _write_key(path: Path, key: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
