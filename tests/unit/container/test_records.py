from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox.container import names, records
from devbox.errors import ConflictError, NotFoundError, UsageError
from devbox.model.container import Container, ContainerConfig
from devbox.store.database import Store
from devbox.store.root import Root


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(Root(str(tmp_path), str(tmp_path / "run"))) as store:
        store.db.execute(
            "INSERT INTO images (id, created, architecture, os, variant, size, document) "
            "VALUES ('sha256:0', 0, 'amd64', 'linux', '', 0, '{}')"
        )
        yield store


def container(name: str, identity: str = "") -> Container:
    return Container(
        id=identity or secrets.token_hex(32),
        name=name,
        created=time.time(),
        image_id="sha256:0",
        image_name="busybox",
        config=ContainerConfig(command=("sh",), tty=True),
    )


def test_a_row_comes_back_as_it_was_written(store: Store) -> None:
    written = container("web")._replace(oom_killed=True, health={"Status": "healthy"}, status="running", pid=7)
    records.insert(store, written)
    assert records.get(store, "web") == written
    assert records.every(store, "running") == [written]
    assert records.every(store, "exited") == []


def test_a_container_is_found_by_name_id_prefix_and_slash(store: Store) -> None:
    records.insert(store, container("web", "ab" + "0" * 62))
    for reference in ("web", "/web", "ab", "ab" + "0" * 62):
        assert records.resolve(store, reference) == "ab" + "0" * 62


def test_a_name_wins_over_an_id_prefix(store: Store) -> None:
    records.insert(store, container("web", "ab" + "0" * 62))
    named = container("ab", "cd" + "0" * 62)
    records.insert(store, named)
    assert records.resolve(store, "ab") == named.id


def test_an_ambiguous_prefix_is_refused(store: Store) -> None:
    records.insert(store, container("one", "ab" + "0" * 62))
    records.insert(store, container("two", "ab" + "1" * 62))
    with pytest.raises(ConflictError, match="more than one"):
        records.resolve(store, "ab")


@pytest.mark.parametrize("reference", ["nosuch", "", "*", "%", "../..", "ff"])
def test_what_is_not_there_is_not_found(store: Store, reference: str) -> None:
    records.insert(store, container("web", "ab" + "0" * 62))
    with pytest.raises(NotFoundError, match="no such container"):
        records.get(store, reference)


def test_a_name_in_use_names_its_holder(store: Store) -> None:
    holder = container("web")
    records.insert(store, holder)
    with pytest.raises(ConflictError, match=holder.id[:12]):
        records.insert(store, container("web"))


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a b", "a\n", "ä", "a" * 129])
def test_a_name_outside_the_grammar_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="invalid container name"):
        records.insert(store, container(name))


def test_an_update_writes_only_what_is_named(store: Store) -> None:
    written = container("web")
    records.insert(store, written)
    records.update(store, written._replace(status="exited", exit_code=3, pid=99), "status", "exit_code")
    assert records.by_id(store, written.id) == written._replace(status="exited", exit_code=3)


def test_names_of_ours_are_valid_and_unused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = names.unused(store)
    records.insert(store, container(first))
    monkeypatch.setattr(names, "_FIRST", [first.split("_")[0]])
    monkeypatch.setattr(names, "_SECOND", [first.split("_")[1]])
    second = names.unused(store)
    assert second != first
    records.check_name(second)
