"""images, history, rmi, tag and image prune: what is listed, what is removed, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import Box
from tests.engine.image_archives import Layout, config, member, sha256, tar

FILE = tar(member("file", b"x" * 1500))
HISTORY = [
    {"created": "2024-01-01T00:00:00Z", "created_by": "/bin/sh -c #(nop) ADD file:aa in / ", "comment": "base"},
    {"created": "2024-01-01T00:00:01Z", "created_by": 'CMD ["/bin/a-command-with-a-long-name","and","words"]'},
]
HISTORY[1]["empty_layer"] = True  # type: ignore[assignment]


def image(number: int, **settings: object) -> bytes:
    created = f"202{number}-05-01T10:00:00Z"
    return config([FILE], {"Env": [f"N={number}"], **settings}, created=created, history=HISTORY)


OLD, MIDDLE, NEW, BARE = image(1), image(2, Labels={"tier": "web", "a": "b"}), image(3), image(0)


def layout(place: Path) -> str:
    """Four images of different years, one with two names, one with none."""
    made = Layout()
    for document, *called in (
        (OLD, "old:1"),
        (MIDDLE, "team/middle:1", "team/middle:2"),
        (NEW, "new:1"),
        (BARE, ""),
    ):
        manifest = made.image([FILE], document=document)
        for name in called:
            made.list(manifest, name)
    return str(made.write(place / "layout"))


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """For tests that change nothing."""
    box = Box(tmp_path_factory.mktemp("listed"))
    box("load", "-q", "-i", layout(box.root.parent))
    yield box
    box.close()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    box = Box(tmp_path_factory.mktemp("listing"))
    yield box
    box.close()


@pytest.fixture
def store(own: Box, tmp_path: Path) -> Iterator[Box]:
    """For tests that remove what they like."""
    own("load", "-q", "-i", layout(tmp_path))
    yield own
    own("image", "prune", "-af")
    assert own.out("images", "-aq") == ""
    assert list((own.root / "layers").iterdir()) == []


def names(box: Box, *words: str) -> list[str]:
    return box.out("images", "--format", "{{.Repository}}:{{.Tag}}", *words).split()


EVERY = ["new:1", "team/middle:1", "team/middle:2", "old:1", "<none>:<none>"]


def test_the_table(listed: Box) -> None:
    head, *lines = listed.out("images").splitlines()
    assert head.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert [line.split()[:3] for line in lines[:2]] == [
        ["new", "1", sha256(NEW)[7:19]],
        ["team/middle", "1", sha256(MIDDLE)[7:19]],
    ]
    assert lines[0].endswith(" years ago   1.5kB")
    assert sha256(NEW) in listed.out("images", "--no-trunc")
    assert "DIGEST" in listed.out("images", "--digests")
    assert listed.out("images", "-q").split() == [sha256(each)[7:19] for each in (NEW, MIDDLE, OLD, BARE)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), EVERY),
        (("-f", "dangling=true"), EVERY[4:]),
        (("-f", "dangling=false"), EVERY[:4]),
        (("-f", "label=tier"), EVERY[1:3]),
        (("-f", "label=tier=web", "-f", "label=a"), EVERY[1:3]),
        (("-f", "label=tier=db"), []),
        (("-f", "before=team/middle:1"), EVERY[3:]),
        (("-f", "since=team/middle:2"), EVERY[:1]),
        (("-f", "before=new:1", "-f", "since=old:1"), EVERY[1:3]),
        (("-f", "until=2022-01-01"), EVERY[3:]),
        (("-f", "reference=team/*"), EVERY[1:3]),
        (("-f", "reference=*:1"), ["new:1", "old:1"]),
        (("-f", "reference=team/*:2"), EVERY[2:3]),
        (("-f", "reference=nothing"), []),
        (("team/middle",), EVERY[1:3]),
        (("team/middle:2",), EVERY[2:3]),
        (("absent",), []),
    ],
)
def test_filters(listed: Box, words: tuple[str, ...], found: list[str]) -> None:
    assert names(listed, *words) == found


@pytest.mark.parametrize("wrong", ["nothing", "colour=red", "dangling=perhaps", "before=absent"])
def test_filters_that_are_none(listed: Box, wrong: str) -> None:
    assert listed.fails("images", "-f", wrong).startswith("devbox: ")


def test_history(listed: Box) -> None:
    head, *lines = listed.out("history", "old:1").splitlines()
    assert head.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert lines[0].startswith(sha256(OLD)[7:19])
    assert 'CMD ["/bin/a-command-with-a-long-name","and"…' in lines[0]
    assert lines[1].startswith("<missing>")
    assert lines[1].endswith("1.5kB     base")
    assert listed.out("history", "-q", "--no-trunc", "old:1").splitlines() == [sha256(OLD), "<missing>"]
    assert listed.out("history", "-H=false", "--format", "{{.Size}} {{.CreatedAt}}", "old:1").splitlines() == [
        "0 2024-01-01T00:00:01Z",
        "1500 2024-01-01T00:00:00Z",
    ]
    assert "no such image" in listed.fails("history", "absent")


def test_rmi_takes_names_and_with_the_last_the_image(store: Box) -> None:
    assert store.out("rmi", "team/middle:1") == "Untagged: team/middle:1"
    assert store.out("rmi", "team/middle:2").splitlines() == [
        "Untagged: team/middle:2",
        f"Deleted: {sha256(MIDDLE)}",
    ]
    assert names(store) == ["new:1", "old:1", "<none>:<none>"]
    lines = store.out("rmi", "new:1", "old:1", sha256(BARE)[7:19]).splitlines()
    assert lines[-1] == f"Deleted: {sha256(FILE)}", "the layer goes with its last image"


def test_rmi_by_id_of_an_image_with_several_names(store: Box) -> None:
    middle = sha256(MIDDLE)[7:19]
    assert "team/middle:1, team/middle:2" in store.fails("rmi", middle)
    assert len(names(store)) == 5
    assert len(store.out("rmi", "-f", middle).splitlines()) == 3


def test_rmi_goes_on_after_an_image_that_is_not_there(store: Box) -> None:
    done = store("rmi", "absent", "new:1", check=False)
    assert done.returncode == 125
    assert "no such image: absent" in done.stderr
    assert "Untagged: new:1" in done.stdout
    assert "new:1" not in names(store)


def test_images_in_use_stay(store: Box) -> None:
    store("create", "--name", "user", "old:1", "/file")
    assert "in use by container user" in store.fails("rmi", "old:1")
    store("image", "prune", "-af")
    assert names(store) == ["old:1"]
    assert store.out("rmi", "-f", "old:1") == "Untagged: old:1"
    assert names(store) == ["<none>:<none>"]
    store("image", "prune", "-f")
    assert store.out("inspect", "-f", "{{.Image}}", "user") == sha256(OLD)
    store("rm", "user")
    assert sha256(OLD) in store.out("image", "prune", "-f")


def test_prune(store: Box) -> None:
    assert store("image", "prune", input="n\n").stdout.splitlines()[-1].endswith("[y/N] ")
    assert len(names(store)) == 5
    assert sha256(BARE) in store.out("image", "prune", "-f")
    assert store.out("image", "prune", "-f") == "Total reclaimed space: 0B"
    assert names(store) == EVERY[:4]
    assert sha256(OLD) in store.out("image", "prune", "-af", "--filter", "until=2022-01-01")
    assert names(store) == EVERY[:3]
    store("image", "prune", "-af", "--filter", "label!=tier")
    assert names(store) == EVERY[1:3]
    out = store.out("image", "prune", "-af", "--filter", "label=tier").splitlines()
    assert out[-1] == "Total reclaimed space: 1.5kB"
    assert names(store) == []


def test_tag(store: Box) -> None:
    store("tag", "old:1", "registry.example:5000/x")
    assert "registry.example:5000/x:latest" in names(store)
    store("tag", sha256(NEW)[7:19], "old:1")
    assert store.out("image", "inspect", "-f", "{{.Id}}", "old:1") == sha256(NEW)
    for wrong in ("Upper", "a b", "x:", "sha256:" + "0" * 64, "0" * 64, "x@sha256:" + "0" * 64, "../x", ""):
        assert store.fails("tag", "old:1", wrong).startswith("devbox: ")
    assert "no such image" in store.fails("tag", "absent", "x")
