"""Images, tags and what may be removed; layers are rows only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox.errors import ConflictError, NotFoundError, RefusedError, StoreError, UsageError
from devbox.image import catalog, check, config, gc, layers, pruning
from devbox.model.image import Image
from devbox.store.database import Store
from devbox.store.root import Root


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(Root(str(tmp_path / "root"), str(tmp_path / "run"))) as store:
        yield store
    layers.release_all()


def layer(store: Store, letter: str) -> tuple[int, str]:
    """A layer with a file of that letter, as an upper directory becomes one."""
    upper = f"{store.root.scratch}/upper"
    os.makedirs(upper)
    Path(upper, "file").write_text(letter)
    os.utime(f"{upper}/file", (1, 1))
    layer_id = layers.adopt(store, upper)
    return layer_id, layers.diff_id(store, layer_id)


def image(store: Store, *letters: str, names: tuple[str, ...] = (), created: float = 1.0) -> Image:
    parts = [layer(store, letter) for letter in letters]
    document = config.compose(created=created, config={}, diff_ids=[diff for _, diff in parts], history=[])
    made = catalog.add(store, config.write(document), [each for each, _ in parts], names=names, reason="test")
    layers.release_all()
    return made


def container(store: Store, name: str, image_id: str, status: str = "exited") -> None:
    with store.transaction() as db:
        db.execute(
            "INSERT INTO containers (id, name, created, image_id, image_name, config_json, status)"
            " VALUES (?, ?, 0, ?, '', '{}', ?)",
            (name * 64, name, image_id, status),
        )


def trees(store: Store) -> set[str]:
    return set(os.listdir(store.root.layers))


def test_an_image_is_found_by_all_its_names(store: Store) -> None:
    made = image(store, "a", names=("web:1", "localhost:5000/team/web"))
    digest = "sha256:" + "d" * 64
    with store.transaction() as db:
        db.execute("INSERT INTO image_digests VALUES (?, ?)", (f"docker.io/library/web@{digest}", made.id))
    digits = made.id.removeprefix("sha256:")
    for reference in (
        *("web:1", "docker.io/library/web:1", "localhost:5000/team/web:latest", "localhost:5000/team/web"),
        *(f"web@{digest}", f"web:1@{digest}", made.id, digits, digits[:12], "sha256:" + digits[:5], digits[:1]),
    ):
        assert catalog.find(store, reference) == made
    for reference in ("web", "web:2", f"other@{digest}", "f" * 64, "abc"):
        with pytest.raises(NotFoundError, match="no such image"):
            catalog.find(store, reference)
    for reference in ("WEB", "", "%", "web:1 ", "web@sha256:1"):
        with pytest.raises(UsageError, match="invalid reference format"):
            catalog.find(store, reference)


def test_a_beginning_of_several_ids_is_told(store: Store) -> None:
    first = image(store, "0").id
    for number in range(1, 40):
        if image(store, str(number)).id[7] == first[7]:
            break
    with pytest.raises(NotFoundError, match="more than one"):
        catalog.find(store, first[7])


def test_a_name_wins_over_the_beginning_of_an_id(store: Store) -> None:
    first, second = image(store, "a"), image(store, "b")
    catalog.tag(store, second.id, first.id[7:15], "tag")
    assert catalog.find(store, first.id[7:15]) == second


def test_tags_move_and_every_move_is_written_down(store: Store) -> None:
    first, second = image(store, "a", names=("x",)), image(store, "b")
    catalog.tag(store, second.id, "x:latest", "tag")
    catalog.tag(store, second.id, "x", "tag")
    assert catalog.find(store, "x") == second
    assert catalog.tags_of(store, first.id) == ()
    catalog.remove(store, "x")
    moves = store.db.execute("SELECT name, image_id, reason FROM tag_moves").fetchall()
    full = "docker.io/library/x:latest"
    assert [tuple(move) for move in moves] == [
        (full, first.id, "test"),
        (full, second.id, "tag"),
        (full, None, "rmi"),
    ]


@pytest.mark.parametrize("name", ["Upper", "a:b:c", "a@sha256:" + "0" * 64, "-x", "", "a" * 64, "x/../y"])
def test_impossible_tags(store: Store, name: str) -> None:
    made = image(store, "a")
    with pytest.raises(UsageError):
        catalog.tag(store, made.id, name, "tag")


def test_removing_names_and_then_the_image(store: Store) -> None:
    made = image(store, "a", "b", names=("x:1", "x:2"))
    assert catalog.remove(store, "x:1") == ["Untagged: x:1"]
    lines = catalog.remove(store, "x:2")
    assert lines == ["Untagged: x:2", f"Deleted: {made.id}", *(f"Deleted: {each}" for each in made.diff_ids[::-1])]
    assert catalog.every(store) == []
    assert trees(store) == set()


def test_an_id_with_several_names_wants_force(store: Store) -> None:
    made = image(store, "a", names=("x:1", "y:2"))
    with pytest.raises(ConflictError, match="x:1, y:2"):
        catalog.remove(store, made.id)
    assert catalog.remove(store, made.id[7:19], force=True)[:2] == ["Untagged: x:1", "Untagged: y:2"]
    assert catalog.every(store) == []


@pytest.mark.parametrize(("status", "words"), [("exited", "by container c"), ("running", "by running container")])
def test_a_container_keeps_its_image(store: Store, status: str, words: str) -> None:
    made = image(store, "a", names=("x",))
    container(store, "c", made.id, status)
    for reference in ("x", made.id):
        with pytest.raises(ConflictError, match=words):
            catalog.remove(store, reference)
    assert catalog.remove(store, "x", force=True) == ["Untagged: x:latest"]
    with pytest.raises(ConflictError, match=words):
        catalog.remove(store, made.id, force=True)
    assert catalog.by_id(store, made.id) == made
    assert len(trees(store)) == 1


def test_one_of_several_names_goes_although_a_container_uses_the_image(store: Store) -> None:
    made = image(store, "a", names=("x", "y"))
    container(store, "c", made.id)
    assert catalog.remove(store, "x") == ["Untagged: x:latest"]
    assert catalog.tags_of(store, made.id) == ("docker.io/library/y:latest",)


def test_layers_go_with_the_last_image_that_has_them(store: Store) -> None:
    first, second = image(store, "a", "b", names=("x",)), image(store, "a", "c", names=("y",))
    assert first.layers[0] == second.layers[0]
    assert f"Deleted: {first.diff_ids[0]}" not in catalog.remove(store, "x")
    assert trees(store) == {str(each) for each in second.layers}


def test_prune(store: Store) -> None:
    unnamed, used, named = image(store, "a"), image(store, "b"), image(store, "c", names=("x",))
    container(store, "c", used.id)
    lines, freed, _ = pruning.prune(store, lambda _: True, named=False)
    assert lines == [f"deleted: {unnamed.id}", f"deleted: {unnamed.diff_ids[0]}"]
    assert freed == 1
    assert pruning.prune(store, lambda each: each.id != named.id, named=True) == ([], 0, 0)
    assert pruning.prune(store, lambda _: True, named=True).lines[0] == "untagged: x:latest"
    assert [each.id for each in catalog.every(store)] == [used.id]


def test_what_a_living_process_holds_is_not_collected(store: Store) -> None:
    layer(store, "a")
    assert gc.collect(store).diff_ids == ()
    layers.release_all()
    assert len(gc.collect(store).diff_ids) == 1
    assert trees(store) == set()
    assert os.listdir(store.root.locks) == []


def test_what_no_row_names_is_discarded(store: Store) -> None:
    made = image(store, "a")
    for surplus in ("99", "junk"):
        os.makedirs(f"{store.root.layers}/{surplus}/diff/deep")
    Path(store.root.blobs, "sha256", "f" * 64).write_text("x")
    assert len(gc.discard_surplus(store)) == 3
    assert trees(store) == {str(made.layers[0])}
    assert os.listdir(store.root.blobs + "/sha256") == []
    assert os.listdir(store.root.scratch) == []


def test_a_layer_directory_that_a_dead_process_left_is_replaced(store: Store) -> None:
    os.makedirs(f"{store.root.layers}/1/diff/from/a/dead/process")
    layer_id, _ = layer(store, "a")
    assert layer_id == 1
    assert os.listdir(layers.directory(store, 1)) == ["file"]


def test_the_same_layer_twice_is_mounted_once_where_it_is_topmost(store: Store) -> None:
    made = image(store, "a", "b", "a")
    a, b, _ = made.layers
    assert layers.lower_directories(made) == (f"{a}/diff", f"{b}/diff")


def test_a_document_must_fit_its_layers(store: Store) -> None:
    layer_id, diff_id = layer(store, "a")
    document = config.write(config.compose(created=0, config={}, diff_ids=[diff_id], history=[]))
    with pytest.raises(StoreError, match="gone"):
        catalog.add(store, document, [layer_id + 1], reason="test")
    with pytest.raises(RefusedError):
        catalog.add(store, b"[]", [], reason="test")
    assert catalog.every(store) == []


class TestCheck:
    def test_nothing_is_wrong(self, store: Store) -> None:
        image(store, "a", "b", names=("x",))
        assert check.find(store) == []

    @pytest.mark.parametrize("damage", ["content", "mode", "surplus file", "lost file", "gone"])
    def test_a_damaged_layer_is_found_and_mended_by_making_it_again(self, store: Store, damage: str) -> None:
        made = image(store, "a", names=("x",))
        tree = Path(layers.directory(store, made.layers[0]))
        file = tree / "file"
        if damage == "content":
            there = file.stat()
            file.write_text("b")
            os.utime(file, ns=(there.st_atime_ns, there.st_mtime_ns))
        elif damage == "mode":
            file.chmod(0o777)
        elif damage == "surplus file":
            (tree / "new").touch()
        elif damage == "lost file":
            file.unlink()
        else:
            tree.rename(tree.parent / "elsewhere")
        for found in (check.find(store), check.repair(store), check.find(store)):
            assert [(problem.kind, problem.mendable) for problem in found] == [("layer", False)]
            assert "x:latest" in found[0].sentence
        again = image(store, "a")
        assert again.id == made.id
        assert again.layers != made.layers
        layers.release_all()
        assert {problem.kind for problem in check.repair(store)} <= {"unused layer"}
        assert check.find(store) == []
        assert trees(store) == {str(again.layers[0])}

    def test_surplus_and_unused(self, store: Store) -> None:
        layer(store, "a")
        layers.release_all()
        os.mkdir(store.root.layers + "/99")
        assert [problem.kind for problem in check.repair(store)] == ["unused layer", "surplus"]
        assert check.find(store) == []

    def test_blobs(self, store: Store) -> None:
        made = image(store, "a")
        for letter, content in (("e", b"altered"), ("f", b"")):
            with store.transaction() as db:
                row = ("sha256:" + letter * 64, made.layers[0], "t", 1)
                db.execute("INSERT INTO layer_blobs VALUES (?, ?, ?, ?)", row)
            if content:
                Path(store.root.blobs, "sha256", letter * 64).write_bytes(content)
        assert sorted(problem.sentence[-7:] for problem in check.repair(store)) == ["altered", "missing"]
        assert check.find(store) == []

    def test_an_altered_config(self, store: Store) -> None:
        made = image(store, "a", names=("x",))
        with store.transaction() as db:
            db.execute("UPDATE images SET document = document || ' ' WHERE id = ?", (made.id,))
        assert [problem.sentence for problem in check.find(store)] == ["the config of x:latest was altered"]
