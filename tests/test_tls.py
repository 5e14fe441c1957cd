"""HTTPS with a local authority, client certificates for the carrier, and faults below the encryption."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import trustme

from sandbox.errors import ServeError
from sandbox.project import Project
from sandbox.server import Server
from sandbox.tls import Authority
from sandbox.tls_files import TlsFiles

TIME_LIMIT = 20
ORDER = {"order_number": "2025-4471", "customer": "Example Ltd", "amount_net": 1290.0, "currency": "EUR"}
PAID = ORDER | {"line_items": 3, "paid": True}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles.at(tmp_path_factory.mktemp("cache") / "sandbox" / "tls")


@pytest.fixture(scope="module")
def server(project: Project, files: TlsFiles) -> Iterator[Server]:
    with Server(project, port=0, tls=Authority(files)).running() as serving:
        yield serving


class Program:
    """A program with valid credentials, as `requests` users write it."""

    def __init__(self, server: Server, world: str, *, certified: bool = True) -> None:
        self.environment = server.access(world).environment()
        self.control = f"{server.url}/_sandbox/worlds/{world}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = self.environment["SSL_CERT_FILE"]
        if certified:
            self.session.cert = (self.environment["SHIPPING_CLIENT_CERT"], self.environment["SHIPPING_CLIENT_KEY"])

    def shop(self, method: str, path: str, body: Any = None, timeout: float = TIME_LIMIT) -> requests.Response:
        headers = {"X-Shop-Api-Key": self.environment["SHOP_API_KEY"]}
        url = self.environment["SHOP_URL"] + path
        return self.session.request(method, url, json=body, headers=headers, timeout=timeout)

    def shipping(self, path: str) -> requests.Response:
        headers = {"X-Carrier-Key": self.environment["SHIPPING_API_KEY"]}
        return self.session.get(self.environment["SHIPPING_URL"] + path, headers=headers, timeout=TIME_LIMIT)

    def fault(self, inject: str, operation: str = "place_order", **more: Any) -> None:
        document = {"on": {"system": "shop", "operation": operation}, "inject": inject, **more}
        self.session.post(f"{self.control}/faults", json=document, timeout=TIME_LIMIT).raise_for_status()

    def orders(self) -> list[Any]:
        state = self.session.get(f"{self.control}/state?system=shop", timeout=TIME_LIMIT).json()
        return list(state.get("shop", {}).get("orders", []))

    def outcomes(self) -> list[str]:
        entries = self.session.get(f"{self.control}/journal?operation=place_order", timeout=TIME_LIMIT).json()[
            "entries"
        ]
        return [entry["answer"]["outcome"] for entry in entries]


@pytest.fixture
def program(server: Server, world_name: str) -> Iterator[Program]:
    made = Program(server, world_name)
    # The first call makes the world.
    assert made.shop("GET", "/orders").status_code == 200
    yield made
    made.session.close()


def test_serves_https(server: Server, program: Program) -> None:
    assert server.url.startswith("https://127.0.0.1:")
    assert all(value.startswith("https:") for name, value in program.environment.items() if name.endswith("_URL"))
    assert program.shop("POST", "/orders", PAID).status_code == 201


def test_for_localhost_as_well(server: Server) -> None:
    context = ssl.create_default_context(cafile=server.access().environment()["SSL_CERT_FILE"])
    for name in ("localhost", "127.0.0.1", socket.gethostname()):
        with socket.create_connection(("127.0.0.1", server.port), TIME_LIMIT) as raw:
            context.wrap_socket(raw, server_hostname=name).close()


def test_is_not_trusted_unless_told(server: Server) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(server.url, trust_env=False)


def test_plain_http_gets_no_answer(server: Server) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url.replace("https", "http"), trust_env=False)


def test_carrier_asks_for_a_client_certificate(server: Server, program: Program, world_name: str) -> None:
    assert program.shipping("/shipments").status_code == 200
    bare = Program(server, world_name, certified=False)
    refused = bare.shipping("/shipments")
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/client-certificate")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["www-authenticate"] == 'Certificate realm="shipping"'
    # Only the carrier does.
    assert bare.shop("GET", "/orders").status_code == 200
    entry = bare.session.get(f"{bare.control}/journal?system=shipping", timeout=TIME_LIMIT).json()["entries"][-1]
    assert (entry["answer"]["status"], entry["effect"]) == (401, "none")
    bare.session.close()


def test_certificate_of_somebody_else_is_refused(server: Server, tmp_path: Path) -> None:
    stranger = trustme.CA().issue_cert(common_name="stranger")
    stranger.private_key_and_cert_chain_pem.write_to_path(tmp_path / "stranger.pem")
    program = Program(server, "default", certified=False)
    program.session.cert = str(tmp_path / "stranger.pem")
    with pytest.raises((requests.exceptions.SSLError, requests.ConnectionError)):
        program.shipping("/shipments")
    program.session.close()


def test_no_certificate_without_tls(project: Project) -> None:
    with Server(project, port=0).running() as plain:
        environment = plain.access().environment()
        headers = {"X-Carrier-Key": environment["SHIPPING_API_KEY"]}
        url = f"{environment['SHIPPING_URL']}/shipments"
        assert httpx.get(url, headers=headers, trust_env=False).status_code == 200
    assert not {"SHIPPING_CLIENT_CERT", "SHIPPING_CLIENT_KEY", "SSL_CERT_FILE", "SANDBOX_CA_FILE"} & set(environment)


@pytest.mark.parametrize("effect", ["none", "applied"])
def test_silence(program: Program, effect: str) -> None:
    program.fault("timeout", effect=effect)
    with pytest.raises(requests.ReadTimeout):
        program.shop("POST", "/orders", PAID, timeout=0.5)
    assert len(program.orders()) == (effect == "applied")
    assert program.outcomes() == ["lost"]


@pytest.mark.parametrize("effect", ["none", "applied"])
def test_reset(program: Program, effect: str) -> None:
    program.fault("reset", effect=effect)
    with pytest.raises(requests.ConnectionError):
        program.shop("POST", "/orders", PAID)
    assert len(program.orders()) == (effect == "applied")
    assert program.outcomes() == ["reset"]


def test_reset_is_one_of_tcp(server: Server, program: Program) -> None:
    """RST below TLS: no alert, no FIN. Python's own TLS sockets take it for an end, so this one looks below."""
    program.fault("reset", operation="get_order")
    context = ssl.create_default_context(cafile=program.environment["SSL_CERT_FILE"])
    key, path = program.environment["SHOP_API_KEY"], program.environment["SHOP_URL"].removeprefix(server.url)
    request = f"GET {path}/orders/2025-4471 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Shop-Api-Key: {key}\r\n\r\n"
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = context.wrap_bio(received, to_send, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", server.port), TIME_LIMIT) as below:
        while True:
            try:
                secure.do_handshake()
                break
            except ssl.SSLWantReadError:
                below.sendall(to_send.read())
                received.write(below.recv(65536))
        secure.write(request.encode())
        below.sendall(to_send.read())
        # The session tickets of TLS 1.3 come first.
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: below.recv(65536), b""))


def test_truncated(program: Program) -> None:
    program.fault("truncated", effect="applied")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError), match="IncompleteRead"):
        program.shop("POST", "/orders", PAID)
    assert len(program.orders()) == 1
    assert program.outcomes() == ["cut"]


def test_dripped(program: Program) -> None:
    program.fault("slow", effect="applied", **{"with": {"drip": 0.001, "size": 64}})
    answer = program.shop("POST", "/orders", PAID)
    assert (answer.status_code, answer.json()["order_number"]) == (201, ORDER["order_number"])


def test_others_go_on_while_one_waits(program: Program) -> None:
    program.fault("timeout")
    failed: list[Exception] = []

    def wait() -> None:
        try:
            program.shop("POST", "/orders", PAID, timeout=1.0)
        except requests.ReadTimeout as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert {program.shop("GET", "/orders").status_code for _ in range(20)} == {200}
    waiting.join()
    assert failed


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414), (b"nonsense\r\n\r\n", 400)],
)
def test_refusals_of_the_protocol(server: Server, files: TlsFiles, sent: bytes, status: int) -> None:
    context = ssl.create_default_context(cafile=files.ca)
    raw = socket.create_connection(("127.0.0.1", server.port), TIME_LIMIT)
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as secure:
        secure.sendall(sent)
        assert secure.recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_reference_integrator_shows_its_certificate(
    server: Server, program: Program, tmp_path: Path, until: Callable[[Callable[[], Any]], Any]
) -> None:
    environment = os.environ | program.environment | {"PORT": "0", "DATA_FILE": str(tmp_path / "integrator.db")}
    command = [sys.executable, "-m", "sandbox.integrator"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"integrator ready"), (tmp_path / "log").read_text()
        program.shop("POST", "/orders", PAID).raise_for_status()
        (shipment,) = until(lambda: program.shipping("/shipments").json()["shipments"])
        assert shipment["reference"] == ORDER["order_number"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 0


def test_authority_is_made_once(tmp_path: Path) -> None:
    files = TlsFiles.at(tmp_path / "deep" / "tls")
    Authority(files)
    made = {path.name: path.read_bytes() for path in files.folder.iterdir()}
    assert set(made) == {"ca.pem", "ca.key", "client.pem", "client.key"}
    Authority(files)
    assert {path.name: path.read_bytes() for path in files.folder.iterdir()} == made
    assert [path.name for path in files.folder.parent.iterdir()] == ["tls"]


def test_keys_are_for_the_user_alone(tmp_path: Path) -> None:
    files = TlsFiles.at(tmp_path / "tls")
    Authority(files)
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    for key in (files.ca_key, files.client_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_made_by_several_at_the_same_time(tmp_path: Path) -> None:
    files, together = TlsFiles.at(tmp_path / "tls"), threading.Barrier(8)
    failed: list[Exception] = []

    def make() -> None:
        together.wait()
        try:
            Authority(files).shown()
        except ServeError as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    # All files are of one authority.
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.client_cert, files.client_key)
    assert [path.name for path in tmp_path.iterdir()] == ["tls"]


def spoil(files: TlsFiles) -> None:
    Authority(files)
    files.ca_key.write_text("nothing")


def lose(files: TlsFiles) -> None:
    Authority(files)
    files.ca.unlink()


def block(files: TlsFiles) -> None:
    files.folder.write_text("a file")


@pytest.mark.parametrize("damage", [spoil, lose, block])
def test_damaged_authority(tmp_path: Path, damage: Callable[[TlsFiles], None]) -> None:
    files = TlsFiles.at(tmp_path / "tls")
    damage(files)
    with pytest.raises(ServeError, match="no authority can be kept there") as error:
        Authority(files)
    assert "\n" not in error.value.message
    assert "--tls-dir" in (error.value.hint or "")


def test_folder_is_the_same_wherever_a_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert TlsFiles.at().folder == tmp_path / "integration-sandbox" / "tls"
    # The standard says that a relative one is to be ignored.
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert TlsFiles.at().folder.is_absolute()
    assert tmp_path not in TlsFiles.at().folder.parents
    assert TlsFiles.at(Path("here")).ca == tmp_path / "here" / "ca.pem"


def test_names_that_no_certificate_can_hold(tmp_path: Path) -> None:
    authority = Authority(TlsFiles.at(tmp_path / "tls"))
    authority.shown(["my_machine", "", "sandbox", "sandbox.example", "10.1.2.3"])
