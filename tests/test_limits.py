"""What one process holds is bounded; each bound has a clear refusal, and what is dropped is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import ServeError
from sandbox.inprocess import InProcess
from sandbox.journal import Filter
from sandbox.journal_store import JournalStore
from sandbox.limits import Limits
from sandbox.model import dump
from sandbox.project import Project
from sandbox.server import Server
from sandbox.store import Store
from tests.conftest import Caller

WORLDS, ENTRIES, BODY = 4, 20, 2000


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Server]:
    with Server(project, port=0, limits=Limits(WORLDS, ENTRIES, BODY)).running() as serving:
        yield serving


def test_worlds(caller: Callable[[str], Caller]) -> None:
    default = caller("default")
    control = default.access.control

    def create(name: str) -> Any:
        return default.http.post(f"{control}/worlds", json={"name": name})

    # The world `default` is there from the start.
    assert [create(f"w{number}").status_code for number in range(1, WORLDS)] == [201] * (WORLDS - 1)
    refused = create("one-more")
    assert (refused.status_code, refused.json()["type"]) == (507, "/problems/too-many-worlds")
    assert f"{WORLDS} worlds" in refused.json()["detail"]
    assert "--max-worlds" in refused.json()["detail"]
    # Nor is one made by merely using it, while those there are go on.
    assert caller("one-more").shop("GET", "/orders").status_code == 507
    assert caller("w1").shop("GET", "/orders").status_code == 200
    assert caller("w1").control("POST", "/reset").status_code == 200
    assert caller("w1").control("DELETE").status_code == 204
    assert create("one-more").status_code == 201
    for name in ("w2", "w3", "one-more"):
        caller(name).control("DELETE")


def test_journal(caller: Callable[[str], Caller]) -> None:
    world = caller("journal")
    for number in range(ENTRIES):
        world.shop("GET", f"/orders/before-{number}")
    about = world.control("GET").json()
    assert (about["entries"], about["dropped"]) == (ENTRIES, 0)
    assert [entry["kind"] for entry in world.journal()] == ["call"] * ENTRIES
    for number in range(5):
        world.shop("GET", f"/orders/after-{number}")
    about = world.control("GET").json()
    assert (about["entries"], about["dropped"]) == (ENTRIES, 5)
    page = world.control("GET", "/journal?limit=4").json()
    assert page["dropped"] == 5
    note, *calls = page["entries"]
    assert note["kind"] == "note"
    assert (note["seq"], note["dropped"]) == (5, 5)
    assert note["text"].startswith("5 entries dropped")
    assert [entry["seq"] for entry in calls] == [6, 7, 8]
    rest = world.control("GET", f"/journal?after={page['next']}").json()
    assert [entry["seq"] for entry in rest["entries"]] == list(range(9, 26))
    assert rest["entries"][-1]["address"]["key"] == "after-4"
    # A key that was dropped is still counted.
    world.shop("GET", "/orders/before-0")
    assert world.journal(key="before-0")[-1]["address"]["occurrence"] == 2
    world.control("POST", "/reset")
    about = world.control("GET").json()
    assert (about["entries"], about["dropped"]) == (0, 0)
    world.control("DELETE")


def test_body(caller: Callable[[str], Caller]) -> None:
    world = caller("default")
    fitting = b'{"order_number": "%s"}' % (b"x" * (BODY - 20))
    assert len(fitting) == BODY
    assert world.shop("POST", "/orders", fitting).status_code == 400
    refused = world.shop("POST", "/orders", fitting + b" ")
    assert (refused.status_code, refused.json()["type"]) == (413, "/problems/content-too-large")
    assert f"{BODY} bytes" in refused.json()["detail"]
    refused = world.control("PUT", "/faults", {"scenario": "x" * BODY, "faults": []})
    assert refused.status_code == 413


class Journal:
    """A journal on its own, flushed when it is told."""

    def __init__(self, store: Store, most: int, epoch: int = 1) -> None:
        self._soon: list[Callable[[], None]] = []
        self.kept = JournalStore(store, epoch, self._soon.append, lambda: 7.0, most)

    def add(self, number: int) -> None:
        for _ in range(number):
            self.kept.append({"kind": "delivery", "at": 1.0})

    def flush(self) -> None:
        waiting, self._soon[:] = list(self._soon), []
        for callback in waiting:
            callback()

    def seqs(self, **wanted: Any) -> list[int]:
        return [entry["seq"] for entry in self.kept.entries(Filter(**wanted))]


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.close()


def test_journal_drops_the_oldest(store: Store) -> None:
    journal = Journal(store, 10)
    journal.add(10)
    assert journal.seqs() == list(range(1, 11))
    journal.add(1)
    assert journal.seqs() == list(range(1, 12))
    assert journal.kept.entries()[0] == {
        "seq": 1,
        "kind": "note",
        "at": 7.0,
        "address": None,
        "text": "1 entries dropped: the journal keeps the last 10; more with --max-journal",
        "dropped": 1,
    }
    journal.add(100)
    journal.flush()
    assert (journal.kept.length, journal.kept.dropped) == (10, 101)
    assert journal.seqs() == list(range(101, 112))
    assert journal.seqs(kind="delivery") == list(range(102, 112))
    assert journal.seqs(after=105) == list(range(106, 112))
    assert [entry["seq"] for entry in journal.kept.entries(limit=3)] == [101, 102, 103]


def test_big_journal_is_not_trimmed_at_each_call(store: Store) -> None:
    journal = Journal(store, 2000)
    journal.add(2001)
    journal.flush()
    assert (journal.kept.length, journal.kept.dropped) == (1998, 3)


def test_late_rows_of_dropped_entries_stay_away(store: Store) -> None:
    """A call is held for so long that its place is gone when it ends."""
    journal = Journal(store, 5)
    held = journal.kept.begin()
    journal.add(10)
    journal.flush()
    assert journal.kept.running(held)
    journal.kept.append_row(held, dump({"seq": held, "kind": "call", "at": 1.0, "answer": {}}))
    assert journal.seqs() == list(range(6, 12))
    assert not journal.kept.running(held)
    assert journal.kept.complete_up_to == 11


def test_journals_are_trimmed_apart(store: Store) -> None:
    one, two = Journal(store, 5, epoch=1), Journal(store, 5, epoch=2)
    two.add(5)
    two.flush()
    one.add(50)
    one.flush()
    assert two.seqs() == [1, 2, 3, 4, 5]


def test_watchers_are_told(store: Store) -> None:
    journal = Journal(store, 5)
    told: list[int] = []
    with journal.kept.watch(lambda: told.append(journal.kept.dropped)):
        journal.add(6)
        journal.flush()
        journal.kept.close()
    journal.add(1)
    journal.flush()
    assert told == [1, 1]
    assert journal.seqs()[-1] == 6


def test_dropped_stays_dropped_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept.db")
    journal = Journal(store, 5)
    journal.add(12)
    journal.flush()
    store.close()
    store = Store(tmp_path / "kept.db")
    journal = Journal(store, 5)
    journal.kept.restore()
    assert (journal.kept.length, journal.kept.dropped) == (5, 7)
    journal.add(1)
    assert journal.seqs() == [8, 9, 10, 11, 12, 13]
    store.close()


def epochs(store: Store, tables: tuple[str, ...] = ("records", "terms", "journal")) -> set[int]:
    return {row[0] for table in tables for row in store.connection.execute(f"SELECT DISTINCT epoch FROM {table}")}


def test_what_a_reset_leaves_is_removed_bit_by_bit(project: Project) -> None:
    sandbox = InProcess(project)
    session, access = sandbox.session(), sandbox.access()
    body = {"customer": "Example Ltd", "amount_net": 1290.0, "currency": "EUR", "line_items": 3, "paid": True}
    for number in range(300):
        order = body | {"order_number": f"2025-{number}"}
        session.post(
            f"{access.systems['shop']['url']}/orders",
            json=order,
            headers={"X-Shop-Api-Key": access.systems["shop"]["api_key"]},
        ).raise_for_status()
    world = sandbox.world()
    old = world.epoch
    fresh = sandbox.worlds.reset("default")
    assert fresh.epoch > old
    assert fresh.state() == {}
    assert fresh.entries() == []
    store = sandbox.store
    assert store.untidy
    slices = 1
    while store.purge():
        slices += 1
    assert slices > 3
    assert old not in epochs(store)
    sandbox.close()


def test_what_a_killed_process_left_is_removed(tmp_path: Path, project: Project) -> None:
    """Dropped worlds whose rows were still there when the process ended."""
    store = Store(tmp_path / "kept.db")
    epoch = store.begin_world("gone", 0)
    store.append_journal(epoch, 1, b"{}")
    kept = store.begin_world("kept", 0)
    store.append_journal(kept, 1, b"{}")
    store.drop_world(epoch)
    store.close()
    store = Store(tmp_path / "kept.db")
    assert store.untidy
    while store.purge():
        pass
    assert not store.untidy
    assert epochs(store) == {kept}
    assert store.begin_world("new", 0) > kept
    store.close()


def test_epochs_are_never_used_twice() -> None:
    store = Store()
    first = store.begin_world("a", 0)
    store.append_journal(first, 1, b"{}")
    second = store.new_epoch("a", first, 0)
    while store.purge():
        pass
    store.drop_world(second)
    third = store.begin_world("b", 0)
    store.wipe()
    assert first < second < third < store.begin_world("c", 0)
    store.close()


def test_database_of_too_many_worlds_still_opens(tmp_path: Path, project: Project) -> None:
    file = tmp_path / "kept.db"
    store = Store(file)
    for number in range(5):
        store.begin_world(f"w{number}", number)
    store.close()
    with Server(project, port=0, db=file, limits=Limits(worlds=2)).running() as serving:
        world = Caller(serving, "w4")
        assert world.control("GET").json()["seed"] == 4
        world.http.close()


def test_default_world_is_always_there(project: Project) -> None:
    with Server(project, port=0, limits=Limits(worlds=1)).running() as serving:
        world = Caller(serving, "default")
        for _ in range(2):
            assert world.control("GET").status_code == 200
            assert world.control("DELETE").status_code == 204
        world.http.close()


def test_wrong_allow_list_ends_the_start(project: Project) -> None:
    with pytest.raises(ServeError, match=r"hooks\.example:80"):
        Server(project, port=0, allow_webhooks=["hooks.example:80"])
