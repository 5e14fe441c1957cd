"""Names of one run are others than those of the next, and lead back to it."""

from __future__ import annotations

import pytest

from sandbox.aliases import Aliases, can_be_renamed

ORDER = '{"order_number":"2025-4471","email":"jane.doe@example.com","id":"inv_abcdefghjk23","total":1290.0}'
UUID = "3f2b8a54-6c1d-4e9a-8b7c-0123456789ab"


@pytest.fixture
def aliases() -> Aliases:
    made = Aliases()
    for run in range(2):
        made.begin(run, ["2025-4471"])
    return made


def test_a_run_has_names_of_its_own_that_lead_back(aliases: Aliases) -> None:
    told = [aliases.outward(run, ORDER) for run in range(2)]
    assert len({*told, ORDER}) == 3
    for run in range(2):
        for name in ("2025-4471", "jane.doe@example.com", "inv_abcdefghjk23"):
            assert name not in told[run]
        assert aliases.inward(1, told[run]) == (ORDER, {run})


def test_names_keep_their_shape(aliases: Aliases) -> None:
    order, uuid = aliases.outward(0, "2025-4471").split("-"), aliases.outward(0, UUID)
    assert [len(part) for part in order] == [4, 4]
    assert all(part.isdigit() for part in order)
    assert (uuid != UUID, len(uuid), uuid[14], uuid[19]) == (True, len(UUID), "4", "8")


def test_a_name_within_another_is_understood(aliases: Aliases) -> None:
    key = f"invoice-{aliases.outward(0, '2025-4471')}-1"
    assert aliases.inward(1, key) == ("invoice-2025-4471-1", {0})


def test_an_address_in_a_url_is_understood(aliases: Aliases) -> None:
    told = aliases.outward(0, "?email=jane.doe%40example.com")
    assert told != "?email=jane.doe%40example.com"
    assert aliases.inward(1, told) == ("?email=jane.doe%40example.com", {0})


def test_what_is_the_programs_own_comes_back_to_it_as_it_was(aliases: Aliases) -> None:
    own = f"me@integrator.example {UUID} ref_abcdefghjk23"
    assert aliases.inward(1, own) == (own, set())
    assert aliases.outward(1, own) == own


def test_what_only_looks_like_an_order_is_left_alone(aliases: Aliases) -> None:
    assert aliases.outward(0, "call 2025-9999, or 12025-44710") == "call 2025-9999, or 12025-44710"


def test_a_name_that_is_too_short_has_no_others() -> None:
    assert [can_be_renamed(name) for name in ("2025-4471", "A-1", "Größe-77")] == [True, False, False]
