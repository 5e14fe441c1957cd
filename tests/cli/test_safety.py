"""The options that let others in or keep them out, from the outside."""

from __future__ import annotations

import json
import shlex
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import COMMAND, TIME_LIMIT, Sandbox, Up, serving

TOKEN = "let-me-in"


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    """Each command is a process here."""
    return sandbox_process


def environment_of(text: str) -> dict[str, str]:
    """Dotenv lines as a shell reads them."""
    return dict(shlex.split(line)[0].split("=", 1) for line in text.splitlines())


@pytest.fixture(scope="module")
def tls_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls") / "here"


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory, tls_dir: Path) -> Iterator[Up]:
    """A sandbox with everything that keeps others out."""
    folder = tmp_path_factory.mktemp("up")
    with serving(folder, "--tls", "--tls-dir", str(tls_dir), "--control-token", TOKEN, "--max-worlds", "2") as running:
        yield running


def test_up_says_what_it_takes(safe: Up, tls_dir: Path) -> None:
    assert safe.url.startswith("https://")
    assert safe.said["control_token"] == TOKEN
    assert safe.said["ca_file"] == str(tls_dir / "ca.pem")
    shipping = safe.said["systems"]["shipping"]
    assert (shipping["client_cert"], shipping["client_key"]) == (
        str(tls_dir / "client.pem"),
        str(tls_dir / "client.key"),
    )
    assert stat.S_IMODE(tls_dir.stat().st_mode) == 0o700


def test_env_names_the_certificates_before_anything_runs(safe: Up, sandbox: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "not-yet"
    done = sandbox("env", "--tls", "--tls-dir", str(folder), "--port", "9000")
    found = environment_of(done.stdout)
    assert found["SHOP_URL"] == "https://127.0.0.1:9000/shop"
    for name in ("SANDBOX_CA_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        assert found[name] == str(folder / "ca.pem")
    assert found["SHIPPING_CLIENT_CERT"] == str(folder / "client.pem")
    assert found["SHIPPING_CLIENT_KEY"] == str(folder / "client.key")
    assert not folder.exists()


def test_env_is_what_up_says(safe: Up, sandbox: Sandbox, tls_dir: Path) -> None:
    port = str(httpx.URL(safe.url).port)
    found = environment_of(sandbox("env", "--tls", "--port", port, SANDBOX_TLS_DIR=str(tls_dir)).stdout)
    assert found["SSL_CERT_FILE"] == safe.said["ca_file"]
    assert found["SHIPPING_URL"] == safe.said["systems"]["shipping"]["url"]
    assert found["SHIPPING_CLIENT_CERT"] == safe.said["systems"]["shipping"]["client_cert"]


def test_env_without_tls_names_no_certificates(sandbox: Sandbox) -> None:
    found = environment_of(sandbox("env").stdout)
    assert not [name for name in found if "CERT" in name or "CA" in name.split("_")]


def test_commands_with_token_and_authority(safe: Up, sandbox: Sandbox, tls_dir: Path) -> None:
    done = sandbox("state", "--url", safe.url, "--control-token", TOKEN, "--ca-file", str(tls_dir / "ca.pem"), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    environment = {"SANDBOX_CONTROL_TOKEN": TOKEN, "SANDBOX_CA_FILE": str(tls_dir / "ca.pem"), "SANDBOX_URL": safe.url}
    assert sandbox("order", **environment).returncode == 0
    assert len(json.loads(sandbox("state", "--json", **environment).stdout)["shop"]["orders"]) == 1
    # On the machine of the sandbox its own folder is enough.
    own = {"SANDBOX_CONTROL_TOKEN": TOKEN, "SANDBOX_TLS_DIR": str(tls_dir)}
    assert sandbox("journal", "--url", safe.url, **own).returncode == 0


def test_commands_without_the_token(safe: Up, sandbox: Sandbox, tls_dir: Path) -> None:
    done = sandbox("state", "--url", safe.url, SANDBOX_TLS_DIR=str(tls_dir))
    assert done.returncode == 2
    assert "the control token is missing or wrong" in done.stderr
    assert "--control-token" in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_that_do_not_trust_it(safe: Up, sandbox: Sandbox, tmp_path: Path) -> None:
    done = sandbox("state", "--url", safe.url, "--control-token", TOKEN, XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 2
    assert "shows a certificate that is not trusted" in done.stderr
    assert "--ca-file" in done.stderr


@pytest.mark.parametrize("content", ["", "nothing", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_authority_that_is_none(safe: Up, sandbox: Sandbox, tmp_path: Path, content: str) -> None:
    (tmp_path / "ca.pem").write_text(content)
    done = sandbox("state", "--url", safe.url, "--ca-file", str(tmp_path / "ca.pem"))
    assert done.returncode == 2
    assert "holds no certificate" in done.stderr
    assert "Traceback" not in done.stderr


def test_bounds(safe: Up, sandbox: Sandbox, tls_dir: Path) -> None:
    environment = {"SANDBOX_CONTROL_TOKEN": TOKEN, "SANDBOX_TLS_DIR": str(tls_dir), "SANDBOX_URL": safe.url}
    assert sandbox("order", "--world", "second", **environment).returncode == 0
    done = sandbox("order", "--world", "third", **environment)
    assert done.returncode != 0
    assert "2 worlds" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--max-worlds", "0"], "0 is not in the range"),
        (["--max-journal", "many"], "'many' is not a valid integer"),
        (
            ["--allow-webhook-host", "http://hooks.example"],
            "webhooks cannot be allowed to go to 'http://hooks.example'",
        ),
        (["--tls", "--tls-dir", "/proc/nowhere"], "no authority can be kept there"),
    ],
)
def test_wrong_options(sandbox: Sandbox, arguments: list[str], complaint: str) -> None:
    done = sandbox("up", "--port", "0", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_bounds_stand_in_the_help(sandbox: Sandbox) -> None:
    shown = " ".join(sandbox("up", "--help").stdout.split())
    for option, usual in (("--max-worlds", 1000), ("--max-journal", 100000), ("--max-body", 1048576)):
        assert option in shown
        assert f"[default: {usual}; x>=1]" in shown


def test_token_only_where_it_belongs(safe: Up, tls_dir: Path) -> None:
    trust = ssl.create_default_context(cafile=tls_dir / "ca.pem")
    with httpx.Client(base_url=safe.url, verify=trust, trust_env=False) as client:
        assert client.get("/_sandbox/worlds").status_code == 401
        assert client.get("/").status_code == 200


def test_for_people(tmp_path: Path, tls_dir: Path) -> None:
    """The table says token and authority, too."""
    command = [*COMMAND, "up", "--port", "0", "--tls", "--tls-dir", str(tls_dir), "--control-token", TOKEN]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        shown = ""
        while str(tls_dir / "ca.pem") not in shown:
            line = process.stdout.readline()
            assert line, process.communicate(timeout=TIME_LIMIT)
            shown += line
        assert TOKEN in shown
        assert str(tls_dir / "client.key") in shown
    finally:
        process.kill()
        process.communicate(timeout=TIME_LIMIT)
