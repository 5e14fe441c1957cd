"""Plans as tests: the fixture `chaos`, and reproducers, in sessions of pytest within this one."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pytest_sessions import Inner

pytest_plugins = ["pytester", "tests.pytest_sessions"]


def test_each_failing_plan_is_a_failing_test(inner: Inner) -> None:
    result = inner.run(
        "-k",
        "create_shipment and (timeout or slow)",
        test_it="""
        import pytest

        from subjects import Impatient

        @pytest.mark.chaos(subject=Impatient)
        def test_survives(chaos):
            assert chaos.plan.faults[0].on.system == "shipping"
            assert chaos.journal
            assert chaos.state["shop"]["orders"]

        @pytest.mark.chaos(subject="reference")
        def test_reference(chaos):
            chaos.check()
            assert chaos.verdict.exit_code == 0
        """,
    )
    # That the first test forgets to ask for the verdict does not help it.
    result.assert_outcomes(passed=5, failed=1, deselected=result.parseoutcomes()["deselected"])
    shown = result.stdout.str()
    name = "test_it.py::test_survives[shipping.create_shipment-2025-4471-timeout-applied]"
    assert f"FAILED {name}" in shown
    assert "AssertionError: F01: order 2025-4471 ended with 2 shipments: " in shown
    assert "it does the work, but the answer is lost: the caller waits until it gives up." in shown
    assert f"replay: python -m pytest '{name}'" in shown
    (plan,) = (inner.path / ".sandbox" / "reproducers").iterdir()
    assert f"plan: .sandbox/reproducers/{plan.name}" in shown
    page = inner.path / ".sandbox" / "pytest" / plan.stem / "report.html"
    assert f"report: {page.as_uri()}" in shown
    assert "2 shipments" in page.read_text()


def test_what_chaos_takes(inner: Inner) -> None:
    result = inner.run(
        "-k",
        "budget or mark or (create_shipment and unauthorized)",
        test_it="""
        import pytest

        from subjects import Impatient

        @pytest.mark.chaos(budget="0s")
        def test_budget(chaos):
            pass

        @pytest.mark.chaos(subject=Impatient, depth=2)
        def test_pairs(chaos):
            chaos.check()

        def test_without_mark(chaos):
            pass
        """,
    )
    outcomes = result.parseoutcomes()
    assert (outcomes["errors"], outcomes["failed"]) == (1, 1)
    assert outcomes["skipped"] > 50
    result.stdout.fnmatch_lines(
        [
            "*mark the test with @pytest.mark.chaos*",
            "*When create_shipment of shipping is called for 2025-4471 for the first time, it answers 401*",
            "*When *",
            "*not covered: the budget of 0 s was used up*",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("scenaro='x'", "the mark chaos takes no 'scenaro'; it takes: subject, scenario, depth, seed, budget"),
        ("depth=3", "the mark chaos: depth=3 is unknown; it is 1 or 2"),
        ("scenario='unpayd-order'", "there is no scenario 'unpayd-order'; did you mean unpaid-order?"),
        ("subject='nobody'", "subject 'nobody': 'nobody' is neither `reference` nor a command that can be started"),
        ("subject='subjects:Nobody'", "subject 'subjects:Nobody': module 'subjects' has no attribute 'Nobody'"),
        ("subject=7", "subject 7 is none; it has a name and start()"),
    ],
)
def test_wrong_marks_are_one_line(inner: Inner, arguments: str, expected: str) -> None:
    result = inner.run(test_it=f"import pytest\n@pytest.mark.chaos({arguments})\ndef test_it(chaos): pass")
    result.assert_outcomes(errors=1)
    assert expected in result.stdout.str()


def test_an_application_is_run_as_it_is(inner: Inner, checkout: Path) -> None:
    folder = checkout / "tests" / "subjects" / "flask"
    inner.path.joinpath("sandbox.yaml").write_text(
        f"subject: integrator:app\nfolder: {folder}\nenvironment: {{MISTAKE: new-key-on-retry}}\n"
        "reconcile_every: 10s\nreconcile_path: /work\nmute: {R04: see F01}\n"
    )
    arguments = ("-o", "sandbox_project=", "-k", "create_invoice and (timeout or unauthorized)")
    result = inner.run(
        *arguments,
        test_it="""
        import pytest

        @pytest.mark.chaos
        def test_survives(chaos):
            assert any("ReadTimeout" in line for line in chaos.said) or "timeout" not in str(chaos)
        """,
    )
    outcomes = result.parseoutcomes()
    assert (outcomes["failed"], outcomes["passed"]) == (1, 2)
    shown = result.stdout.str()
    assert "AssertionError: F01: order 2025-4471 ended with 2 invoices" in shown
    assert "R04" not in shown
    assert "replay: sandbox chaos replay .sandbox/reproducers/" in shown


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
def test_a_program_of_its_own_is_run_over_sockets(inner: Inner, checkout: Path) -> None:
    program = checkout / "tests" / "subjects" / "node" / "integrator.js"
    inner.path.joinpath("sandbox.yaml").write_text(
        f"subject: node {program}\nenvironment: {{MISTAKE: new-key-on-retry}}\n"
    )
    result = inner.run(
        *("-o", "sandbox_project=", "-k", "create_invoice and timeout-applied or no-fault"),
        test_it="import pytest\n@pytest.mark.chaos\ndef test_survives(chaos): chaos.check()",
    )
    assert (result.parseoutcomes()["failed"], result.parseoutcomes()["passed"]) == (1, 1)
    assert "it said: 2025-4471 accounting POST /invoices" in result.stdout.str()


@pytest.fixture
def reproducers(inner: Inner) -> Path:
    """A plan that the reference survives and the impatient subject does not, and a file that is no plan."""
    folder = inner.path / "contracts" / "reproducers"
    folder.mkdir(parents=True)
    plan = """
    scenario: one-paid-order
    faults:
      - on: {system: shipping, operation: create_shipment, key: "2025-4471"}
        inject: timeout
        effect: applied
    """
    (folder / "lost.yaml").write_text(textwrap.dedent(plan))
    (folder / "notes.yaml").write_text("who: knows\n")
    return folder


def test_reproducers_are_tests_when_named(inner: Inner, reproducers: Path) -> None:
    inner.run("contracts/reproducers").assert_outcomes(passed=1)
    inner.run("contracts/reproducers/lost.yaml", "-v").stdout.fnmatch_lines(["*lost.yaml::replay PASSED*"])
    failed = inner.run("contracts/reproducers/lost.yaml", "--sandbox-subject", "subjects:Impatient")
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(
        [
            "F01: order 2025-4471 ended with 2 shipments: *",
            "plan: contracts/reproducers/lost.yaml",
            "replay: python -m pytest contracts/reproducers/lost.yaml --sandbox-subject subjects:Impatient",
            "report: file://*/.sandbox/pytest/lost/report.html",
        ]
    )
    assert not (inner.path / ".sandbox" / "reproducers").exists()


def test_reproducers_are_tests_when_asked_for(inner: Inner, reproducers: Path) -> None:
    project = ("-o", "sandbox_project=", "--rootdir", str(inner.path))
    inner.path.joinpath("sandbox.yaml").touch()
    inner.path.joinpath("tests").mkdir()
    inner.path.joinpath("tests", "test_nothing.py").write_text("def test_nothing(): pass")
    inner.run().assert_outcomes(passed=1)
    listed = inner.run("--collect-only", "-q", *project, "-o", "testpaths=tests", "--sandbox-reproducers")
    # The project of this folder has no specs; that its plan is looked at at all is what counts.
    assert "contracts/reproducers/lost.yaml" in listed.stdout.str()
    inner.run("-o", "sandbox_reproducers=true").assert_outcomes(passed=2)
    inner.run("-o", "sandbox_reproducers=true", "tests").assert_outcomes(passed=1)


def test_a_broken_reproducer_is_no_silent_pass(inner: Inner, reproducers: Path) -> None:
    wrong = (reproducers / "lost.yaml").read_text()
    (reproducers / "lost.yaml").write_text(wrong.replace("create_shipment", "create_shipmnt"))
    (reproducers / "syntax.yaml").write_text("faults: [")
    (reproducers / "unfired.yaml").write_text(wrong.replace("2025-4471", "2025-9999"))
    result = inner.run("contracts/reproducers", "--continue-on-collection-errors")
    result.assert_outcomes(errors=2, failed=1)
    shown = result.stdout.str()
    assert "shipping has no operation 'create_shipmnt'; did you mean create_shipment?" in shown
    assert "not YAML" in shown
    assert "inconclusive:\na fault never fired: timeout" in shown
    inner.run("contracts/reproducers/notes.yaml").assert_outcomes(errors=1)
