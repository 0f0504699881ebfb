from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devbox.container import records
from devbox.errors import ConflictError, NotFoundError, UsageError
from devbox.model.container import Container, ContainerConfig
from devbox.model.mount import Mount
from devbox.store.database import Store
from devbox.store.scratch import sweep
from devbox.volume import volumes

Add = Callable[[str], Container]


def use(store: Store, container: Container, mount: Mount) -> str:
    with store.transaction():
        return volumes.ensure(store, mount, container.id)


def test_a_volume_is_a_row_and_a_directory(store: Store) -> None:
    made = volumes.create(store, "cache", labels={"a": "1"})
    assert made == volumes.get(store, "cache")
    assert (made.labels, made.anonymous, made.mountpoint) == ({"a": "1"}, False, volumes.path(store, "cache"))
    assert os.stat(made.mountpoint).st_mode & 0o7777 == 0o755
    assert [volume.name for volume in volumes.every(store)] == ["cache"]


def test_creating_it_again_returns_it_with_its_files(store: Store) -> None:
    first = volumes.create(store, "cache", labels={"a": "1"})
    Path(first.mountpoint, "file").write_text("kept")
    assert volumes.create(store, "cache") == first
    assert volumes.create(store, "cache", labels={"a": "1"}) == first
    assert Path(first.mountpoint, "file").read_text() == "kept"


def test_other_labels_or_options_are_a_conflict(store: Store) -> None:
    volumes.create(store, "cache", labels={"a": "1"})
    with pytest.raises(ConflictError, match="other labels"):
        volumes.create(store, "cache", labels={"a": "2"})
    with pytest.raises(ConflictError, match="other labels or options"):
        volumes.create(store, "cache", options={"type": "none", "o": "bind", "device": "/srv"})


@pytest.mark.parametrize("name", ["..", "a", "a/b", "-x", "", "x" * 256, "a\n"])
def test_a_bad_name_never_becomes_a_path(store: Store, name: str) -> None:
    before = os.listdir(store.root.volumes)
    if name:
        with pytest.raises(UsageError):
            volumes.create(store, name)
    with pytest.raises(UsageError):
        volumes.path(store, name)
    assert os.listdir(store.root.volumes) == before


def test_an_anonymous_volume_has_a_name_of_its_own(store: Store) -> None:
    one, two = volumes.create(store, ""), volumes.create(store, "")
    assert one.anonymous
    assert len(one.name) == 64
    assert one.name != two.name
    assert volumes.ANONYMOUS_LABEL in one.labels


def test_a_container_uses_what_its_mounts_name(store: Store, container: Add) -> None:
    web, db = container("web"), container("db")
    named = Mount("volume", "/data", "cache", labels=(("team", "x"),))
    assert use(store, web, named) == use(store, db, named) == "cache"
    hidden = use(store, web, Mount("volume", "/tmp", anonymous=True))
    assert volumes.get(store, "cache").labels == {"team": "x"}
    assert set(volumes.users(store, "cache")) == {web.id, db.id}
    assert volumes.anonymous_of(store, web.id) == (hidden,)
    assert volumes.anonymous_of(store, db.id) == ()
    assert volumes.unused(store) == frozenset()


def test_the_containers_row_may_follow_in_the_same_transaction(store: Store) -> None:
    late = Container("c" * 64, "late", 0.0, "sha256:" + "a" * 64, "x", ContainerConfig())
    with store.transaction():
        volumes.ensure(store, Mount("volume", "/data", "cache"), late.id)
        records.insert(store, late)
    assert volumes.users(store, "cache") == (late.id,)


def test_a_create_that_failed_leaves_no_volume(store: Store, container: Add) -> None:
    web = container("web")
    with pytest.raises(ZeroDivisionError), store.transaction():
        volumes.ensure(store, Mount("volume", "/data", "cache"), web.id)
        raise ZeroDivisionError
    assert volumes.every(store) == []
    assert volumes.remove_orphans(store) == 1
    assert os.listdir(store.root.volumes) == []


def test_a_used_volume_is_not_removed(store: Store, container: Add) -> None:
    web = container("web")
    use(store, web, Mount("volume", "/data", "cache"))
    for force in (False, True):
        with pytest.raises(ConflictError, match="in use by container web"):
            volumes.remove(store, "cache", force=force)
    assert not volumes.remove_if_unused(store, "cache")
    assert os.path.isdir(volumes.path(store, "cache"))


def test_a_removed_volume_is_gone_with_its_files(store: Store) -> None:
    made = volumes.create(store, "cache")
    Path(made.mountpoint, "file").write_text("x")
    volumes.remove(store, "cache")
    assert os.listdir(store.root.volumes) == os.listdir(store.root.scratch) == []
    with pytest.raises(NotFoundError, match="no such volume: cache"):
        volumes.remove(store, "cache")
    volumes.remove(store, "cache", force=True)
    assert not volumes.remove_if_unused(store, "cache")


def test_a_link_in_a_volume_is_not_followed_when_it_is_removed(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    made = volumes.create(store, "cache")
    os.symlink(outside, made.mountpoint + "/link")
    volumes.remove(store, "cache")
    assert (outside / "file").read_text() == "kept"


def test_what_a_killed_rm_left_is_never_seen_in_a_new_volume(store: Store) -> None:
    made = volumes.create(store, "cache")
    Path(made.mountpoint, "secret").write_text("old")
    store.db.execute("DELETE FROM volumes")
    assert os.listdir(volumes.create(store, "cache").mountpoint) == []


def test_prune_takes_what_is_wanted_and_unused(store: Store, container: Add) -> None:
    use(store, container("web"), Mount("volume", "/data", "used"))
    Path(volumes.create(store, "free", labels={"x": "1"}).mountpoint, "file").write_bytes(b"x" * 1000)
    volumes.create(store, "kept")
    assert volumes.prune(store, lambda volume: "x" in volume.labels) == (["free"], 1000)
    assert volumes.unused(store) == {"kept"}
    assert volumes.prune(store, lambda volume: True)[0] == ["kept"]
    assert [volume.name for volume in volumes.every(store)] == ["used"]


def test_events_tell_of_volumes(store: Store) -> None:
    volumes.create(store, "cache")
    volumes.create(store, "cache")
    volumes.remove(store, "cache")
    rows = store.db.execute("SELECT action, actor FROM events WHERE type = 'volume'").fetchall()
    assert [tuple(row) for row in rows] == [("create", "cache"), ("destroy", "cache")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "1g"}, "unknown volume option 'size'"),
        ({"type": "tmpfs", "device": "tmpfs"}, "cannot be shared"),
        ({"type": "none", "o": "bind"}, "needs the option device"),
        ({"type": "none", "o": "bind", "device": "srv"}, "invalid device"),
        ({"type": "none", "o": "bind,size=3", "device": "/srv"}, "invalid mount option 'size=3'"),
        ({"device": "/dev/sdb1"}, "needs the option type"),
        ({"type": "nfs", "o": "rw", "device": ":/export"}, "address of its server"),
    ],
)
def test_options_that_cannot_be_honoured_are_refused(store: Store, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        volumes.create(store, "cache", options=options)
    assert volumes.every(store) == []


RACE = """
import sys
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.volume import volumes
with Store.open(Root(sys.argv[1], sys.argv[2])) as store:
    for _ in range(10):
        volumes.create(store, "cache")
        volumes.remove(store, "cache", force=True)
"""


def test_many_at_once_make_and_remove_one_name(store: Store) -> None:
    children = [subprocess.Popen([sys.executable, "-c", RACE, store.root.state, store.root.run]) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    assert volumes.every(store) == []
    sweep(store.root)  # a create that comes between the row's end and the directory's moves that out of its way
    assert os.listdir(store.root.volumes) == os.listdir(store.root.scratch) == []
