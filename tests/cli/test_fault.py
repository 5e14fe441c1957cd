"""`sandbox fault` and `sandbox up --faults`, as a person would use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import pytest

from sandbox.cli import main
from sandbox.plan_file import profiles
from tests.cli.conftest import Sandbox, Up, serving

INVOICE = {"system": "accounting", "operation": "create_invoice"}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(up: Up, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Run:
    """Run `sandbox fault …` in this process, against a world of the test's own."""
    world = f"w{crc32(request.node.name.encode())}"
    httpx.post(f"{up.url}/_sandbox/worlds", json={"name": world}, trust_env=False).raise_for_status()

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["fault", *arguments, "--url", up.url, "--world", world])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def armed(run: Run) -> dict[str, Any]:
    code, out, _ = run("list", "--json")
    assert code == 0
    return dict(json.loads(out))


def test_add(run: Run) -> None:
    arguments = ("accounting.create_invoice", "timeout", "--effect", "applied", "--occurrence", "1")
    code, out, err = run("add", *arguments)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == ["f1", "accounting.create_invoice", "each", "1", "timeout", "applied", "0"]
    (fault,) = armed(run)["faults"]
    assert fault == {
        "id": "f1",
        "on": INVOICE | {"occurrence": 1},
        "inject": "timeout",
        "effect": "applied",
        "fired": 0,
    }


def test_add_with_everything(run: Run) -> None:
    arguments = [
        "order.paid",
        "duplicate",
        "--with",
        "after=3s",
        "--with",
        "times=2",
        "--key",
        "0123",
        "--occurrence",
        "1-2",
    ]
    arguments += ["--subscriber", "sub_1", "--match-body", "/data/paid=true", "--count", "2", "--ttl", "10m", "--json"]
    code, out, _ = run("add", *arguments)
    assert code == 0
    assert json.loads(out) == {
        "id": "f1",
        "on": {"event": "order.paid", "key": "0123", "occurrence": "1-2", "subscriber": "sub_1"},
        "inject": "duplicate",
        "with": {"after": "3s", "times": 2},
        "match": {"body": {"/data/paid": True}},
        "count": 2,
        "ttl": "10m",
        "fired": 0,
    }
    shown = run("list")[1]
    for part in ("0123", "1-2", "after: 3s, times: 2", "count 2, ttl 10m, body /data/paid: true, subscriber sub_1"):
        assert part in shown


def test_add_to_a_whole_system(run: Run) -> None:
    arguments = ("accounting", "outage", "--with", "for=10m", "--occurrence", "any", "--match-header", "X-Try=1=2")
    code, out, _ = run("add", *arguments, "--json")
    assert code == 0
    fault = json.loads(out)
    assert fault["on"] == {"system": "accounting", "occurrence": "any"}
    assert fault["match"] == {"header": {"X-Try": "1=2"}}
    assert "accounting " in run("list")[1]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["accounting.create_invoce", "timeout"], "no operation 'create_invoce'", "did you mean create_invoice?"),
        (["acounting", "timeout"], "there is no system 'acounting'", "did you mean accounting?"),
        (["accounting.create_invoice", "timout"], "there is no fault 'timout'", "did you mean timeout?"),
        (["order.piad", "drop"], "no system has an event 'order.piad'", "did you mean order.paid?"),
        (["order.paid", "timeout"], "order.paid is an event", "choose a fault on deliveries"),
        (["accounting.create_invoice", "truncated", "--effect", "none"], "cannot have effect: none", "effect: applied"),
        (["order.paid", "duplicate", "--with", "aftr=3s"], "duplicate takes no 'aftr'", "did you mean after?"),
        (["order.paid", "duplicate", "--with", "after=soon"], "'soon' is not a span of time", "3s, 250ms"),
        (["order.paid", "drop", "--occurrence", "0"], "occurrence: 0", "a range such as 1-2"),
        (["order.paid", "drop", "--match-header", "a=b"], "a delivery gets its headers", "match its body"),
    ],
)  # fmt: skip
def test_add_refuses(run: Run, arguments: list[str], message: str, hint: str) -> None:
    code, out, err = run("add", *arguments)
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert hint in second
    assert armed(run)["faults"] == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["order.paid"], "Missing argument 'FAULT'"),
        (["order.paid", "drop", "--with", "after"], "'after' has no value; write it as NAME=VALUE"),
        (["order.paid", "drop", "--effect", "aplied"], "'aplied' is not one of 'none', 'applied'"),
        (["order.paid", "drop", "--count", "0"], "0 is not in the range"),
        (["order.paid", "drop", "--with", "after=["], "'[' is not a value"),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], complaint: str) -> None:
    code, _, err = run("add", *arguments)
    assert code == 2
    assert complaint in err
    assert "Traceback" not in err


def test_remove_and_clear(run: Run) -> None:
    for name in ("timeout", "reset", "conflict"):
        run("add", "accounting.create_invoice", name)
    assert run("remove", "f2") == (0, "", "")
    assert [fault["inject"] for fault in armed(run)["faults"]] == ["timeout", "conflict"]
    code, _, err = run("remove", "f2")
    assert code == 2
    assert "no fault f2 is armed" in err
    assert run("remove", "../../worlds")[0] == 2
    assert run("clear") == (0, "", "")
    code, out, err = run("list")
    assert (code, out) == (0, "")
    assert "sandbox fault add" in err


def test_apply_a_profile_and_a_plan(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("apply", "flaky")
    assert code == 0
    assert "rate 2 %" in out
    assert armed(run)["weather"]
    plan = tmp_path / "plan.yaml"
    plan.write_text("seed: 3\nfaults:\n- on: {system: shop}\n  inject: reset\n")
    code, out, _ = run("apply", str(plan), "--json")
    assert code == 0
    assert json.loads(out) == armed(run)
    assert armed(run)["seed"] == 3
    assert armed(run)["weather"] == []
    plan.write_text("faults:\n- on: {system: shpo}\n  inject: reset\n")
    code, _, err = run("apply", str(plan))
    assert code == 2
    assert err.splitlines() == [f"error: {plan}:2: system: there is no system 'shpo'", "  did you mean shop?"]
    code, _, err = run("apply", "flakey")
    assert code == 2
    assert err.splitlines() == [
        "error: there is no profile 'flakey', and no plan file of that name",
        "  did you mean flaky?",
    ]


def test_profiles(sandbox: Sandbox, checkout: Path, tmp_path: Path) -> None:
    listed = sandbox("fault", "profiles")
    assert listed.returncode == 0
    assert {line.split()[0] for line in listed.stdout.splitlines()[1:]} == set(profiles(checkout))
    document = json.loads(sandbox("fault", "profiles", "--json").stdout)
    assert all(profile["description"] and Path(profile["path"]).is_file() for profile in document)
    # Another project without accounting has its own beside those that are on each system.
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "shop.yaml").write_text((checkout / "specs" / "shop.yaml").read_text())
    (tmp_path / "contracts" / "profiles").mkdir(parents=True)
    (tmp_path / "contracts" / "profiles" / "mine.yaml").write_text("description: Ours.\n")
    shown = sandbox("fault", "profiles", "--project", ".").stdout
    assert "Ours." in shown
    assert "does not fit" not in shown
    assert f"{Path('each', 'flaky.yaml')}" in sandbox("fault", "profiles", "--project", ".", "--json").stdout


def test_schema(sandbox: Sandbox) -> None:
    assert json.loads(sandbox("fault", "schema").stdout)["title"] == "plan"


def test_up_with_a_profile(tmp_path: Path, sandbox: Sandbox) -> None:
    with serving(tmp_path, "--faults", "rate-limited") as running:
        at = ("--url", running.url)
        shown = sandbox("fault", "list", *at).stdout
        assert "rate_limited" in shown
        assert sandbox("order", "--world", "made-later", *at).returncode == 0
        assert sandbox("fault", "list", "--world", "made-later", *at).stdout == shown
        assert sandbox("fault", "clear", *at).returncode == 0
        assert "rate_limited" not in sandbox("fault", "list", *at).stdout


def test_up_with_a_plan_file(tmp_path: Path, sandbox: Sandbox) -> None:
    plan = tmp_path / "lost.yaml"
    plan.write_text("faults:\n- on: {system: shop, operation: place_order}\n  inject: server_error\n")
    with serving(tmp_path, "--faults", "lost.yaml") as running:
        refused = sandbox("order", "--url", running.url)
        assert refused.returncode == 1
        assert "500" in refused.stderr
        assert sandbox("order", "--url", running.url).returncode == 0


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("faults:\n- on: {system: shop}\n  inject: rest\n", "lost.yaml:3: inject: there is no fault 'rest'"),
        ("faults: [", "lost.yaml:2: not YAML"),
    ],
)
def test_up_refuses_a_wrong_plan(tmp_path: Path, sandbox: Sandbox, plan: str, message: str) -> None:
    (tmp_path / "lost.yaml").write_text(plan)
    done = sandbox("up", "--port", "0", "--faults", "lost.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
    assert "no such file" in sandbox("up", "--port", "0", "--faults", "none.yaml").stderr
    assert "did you mean slow?" in sandbox("up", "--port", "0", "--faults", "slw").stderr


def test_an_arrival_that_is_past(run: Run, up: Up, request: pytest.FixtureRequest) -> None:
    """Calls about no business object are all arrivals at one point; the first of them has long been."""
    world = f"w{crc32(request.node.name.encode())}"
    headers = {"X-Shop-Api-Key": up.said["systems"]["shop"]["api_key"]}
    for _ in range(2):
        answer = httpx.get(f"{up.url}/w/{world}/shop/orders", headers=headers, trust_env=False)
        assert answer.status_code == 200
    code, _, err = run("add", "shop.list_orders", "server_error")
    assert code == 0
    assert "list_orders has been called 2 times already" in err
    assert "--occurrence any, or --occurrence 3" in err
    assert run("add", "shop.list_orders", "server_error", "--occurrence", "any")[2] == ""
    assert run("add", "accounting.create_invoice", "timeout")[2] == ""
