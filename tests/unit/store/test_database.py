from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from devbox.errors import StoreError
from devbox.store import reserve
from devbox.store.database import EVENTS_KEPT, Store
from devbox.store.root import Root
from devbox.store.schema import MIGRATIONS


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(str(tmp_path), str(tmp_path / "run"))


def test_open_makes_the_layout_for_root_only(root: Root) -> None:
    os.rmdir(root.state)
    Store.open(root).close()
    for directory, _, names in os.walk(root.state):
        assert os.stat(directory).st_mode & 0o077 == 0
        assert all(os.stat(f"{directory}/{name}").st_mode & 0o077 == 0 for name in names)


def test_the_reserve_is_given_up_on_a_full_disk_only(root: Root) -> None:
    Store.open(root).close()
    assert os.stat(root.reserve).st_size == reserve.SIZE
    reserve.make_room(root)
    assert os.path.exists(root.reserve)


def test_open_twice_keeps_what_was_written(root: Root) -> None:
    with Store.open(root) as store, store.transaction():
        store.event("container", "create", "a" * 64, {"name": "web"})
    with Store.open(root) as store:
        assert store.db.execute("SELECT count(*) FROM events").fetchone()[0] == 1
        assert store.db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


def test_writes_are_synced_in_wal_mode(root: Root) -> None:
    with Store.open(root) as store:
        assert store.db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert store.db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_failed_transaction_leaves_nothing(root: Root) -> None:
    with Store.open(root) as store:
        with pytest.raises(ZeroDivisionError), store.transaction():
            store.event("container", "create", "x")
            raise ZeroDivisionError
        assert store.db.execute("SELECT count(*) FROM events").fetchone()[0] == 0


def test_a_newer_state_file_is_refused_and_left_alone(root: Root) -> None:
    Store.open(root).close()
    db = sqlite3.connect(root.database)
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(StoreError, match="newer devbox"):
        Store.open(root)


def test_a_damaged_state_file_is_one_sentence(root: Root) -> None:
    Path(root.database).write_bytes(b"not a database, though it is long enough to look like one" * 100)
    with pytest.raises(StoreError, match="cannot open"):
        Store.open(root)


def test_readers_do_not_wait_for_a_writer(root: Root) -> None:
    with Store.open(root) as writer, Store.open(root) as reader, writer.transaction():
        writer.event("container", "create", "x")
        assert reader.db.execute("SELECT count(*) FROM events").fetchone()[0] == 0


def test_processes_that_start_together_make_one_state_file(root: Root) -> None:
    script = (
        "import sys; from devbox.store.root import Root; from devbox.store.database import Store\n"
        "with Store.open(Root(sys.argv[1], sys.argv[2])) as s, s.transaction(): s.event('image', 'tag', 'x')"
    )
    children = [subprocess.Popen([sys.executable, "-c", script, root.state, root.run]) for _ in range(6)]
    assert [child.wait() for child in children] == [0] * 6
    with Store.open(root) as store:
        assert store.db.execute("SELECT count(*) FROM events").fetchone()[0] == 6


def test_old_events_are_dropped(root: Root) -> None:
    with Store.open(root) as store:
        with store.transaction():
            for _ in range(EVENTS_KEPT + 1500):
                store.event("container", "create", "x")
        kept = store.db.execute("SELECT count(*) FROM events").fetchone()[0]
        assert EVENTS_KEPT <= kept < EVENTS_KEPT + 1000


def test_the_root_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEVBOX_ROOT", raising=False)
    assert Root.from_environment() == Root("/var/lib/devbox", "/run/devbox")
    monkeypatch.setenv("DEVBOX_ROOT", str(tmp_path))
    assert Root.from_environment() == Root(str(tmp_path), f"{tmp_path}/run")
