"""`sandbox contracts` from the outside: against the project's mocks, against a provider that runs elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sandbox.cli import main
from tests.cli.conftest import Sandbox, Up

JOBS = """\
openapi: 3.0.3
info: {title: Jobs, version: "1"}
paths:
  /jobs:
    post:
      operationId: create_job
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [name], properties: {name: {type: string}}}
            example: {name: tidy up}
      responses:
        '201':
          description: made
          content: {application/json: {schema: {$ref: '#/components/schemas/Job'}}}
  /jobs/{id}:
    get:
      operationId: get_job
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        '200':
          description: found
          content: {application/json: {schema: {$ref: '#/components/schemas/Job'}}}
        '404': {description: there is none}
components:
  schemas:
    Job:
      type: object
      required: [id, name]
      properties: {id: {type: string}, name: {type: string}}
"""
FORGETFUL = """\
from sandbox import System


class Jobs(System):
    def create_job(self, body):
        return {"id": "job_1", **body}
"""


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    """Each command is a process here."""
    return sandbox_process


def test_a_suite_on_a_mock(sandbox: Sandbox, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    done = sandbox(
        "contracts", "shop", "--suite", "idempotency", "-k", "replay or repeated", "--junit-xml", str(report)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    (suite,) = ET.parse(report).getroot().iter("testsuite")
    assert suite.get("tests") == "1"


def test_json_is_all_that_is_on_standard_output(sandbox: Sandbox) -> None:
    done = sandbox("contracts", "accounting", "--suite", "retry", "-k", "refusal", "--json", "-q")
    said = json.loads(done.stdout)
    assert (done.returncode, said["exit_code"], said["failed"]) == (0, 0, 0)
    assert said["passed"] >= 4


def test_a_broken_mock_is_named(sandbox: Sandbox, make_project: Callable[..., Path]) -> None:
    done = sandbox(
        "contracts", "--suite", "state", "--project", str(make_project(JOBS, FORGETFUL)), "--json", "-q"
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert done.returncode == said["exit_code"] == 1
    assert [failure["test"].rpartition("::")[2] for failure in said["failures"]] == [
        "test_the_records_are_what_the_model_says[jobs.create_job]"
    ]


def test_a_system_of_its_spec_alone(sandbox: Sandbox, make_project: Callable[..., Path]) -> None:
    project = str(make_project(JOBS))
    done = sandbox("contracts", "--project", project, "--suite", "state", "--suite", "retry", "-q")
    assert done.returncode == 0, done.stdout


def shop_key(up: Up) -> dict[str, str]:
    return {"SHOP_API_KEY": up.said["systems"]["shop"]["api_key"]}


def test_a_real_provider_is_only_read(sandbox: Sandbox, up: Up) -> None:
    url = f"shop={up.said['systems']['shop']['url']}"
    suites = ["--suite", "idempotency", "--suite", "state"]
    done = sandbox("contracts", "--base-url", url, *suites, "--json", **shop_key(up))
    said = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert said["passed"] == 0
    assert any("allow it with --write" in reason for reason in said["skipped"])
    assert "not written to without --write" in done.stderr


def test_a_real_provider_that_may_be_changed(sandbox: Sandbox, up: Up) -> None:
    url = f"shop={up.said['systems']['shop']['url']}"
    command = [
        "contracts",
        "shop",
        "--base-url",
        url,
        "--write",
        "--suite",
        "idempotency",
        "--json",
        "-k",
        "repeated or payload",
    ]
    for _ in range(2):
        # The second time it meets what the first has left.
        done = sandbox(*command, **shop_key(up))
        said = json.loads(done.stdout)
        assert (done.returncode, said["failed"]) == (0, 0), done.stderr
        assert said["passed"] == 2


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        ("shop=http://127.0.0.1:9/shop", None, "no answer from http://127.0.0.1:9/shop"),
        ("shop=https://127.0.0.1:{port}/shop", None, "SSL"),
        ("shop=http://127.0.0.1:{port}/shop", "wrong", "refuses our credentials (401)"),
        ("shop=http://127.0.0.1:{port}/accounting", None, "is what shop.yaml describes"),
        ("shop=nonsense", None, "write it as shop=https://"),
        ("shp=http://127.0.0.1:{port}/shop", None, "did you mean shop?"),
    ],
)
def test_what_cannot_be_asked(sandbox: Sandbox, up: Up, checkout: Path, url: str, key: str | None, said: str) -> None:
    environment = shop_key(up) | ({"SHOP_API_KEY": key} if key else {})
    port = up.url.rpartition(":")[2]
    done = sandbox("contracts", "--base-url", url.format(port=port), **environment)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_credentials_are_named(
    up: Up, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SHOP_API_KEY", raising=False)
    assert main(["contracts", "--base-url", f"shop={up.said['systems']['shop']['url']}"]) == 2
    assert "set SHOP_API_KEY" in capsys.readouterr().err


def test_an_unknown_system(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contracts", "shp"]) == 2
    assert "did you mean shop?" in capsys.readouterr().err
