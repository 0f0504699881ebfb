"""image log, rollback and diff, what prune leaves for them, and which layers images share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import Box
from tests.engine.image_archives import DIRECTORY, LINK, Layout, Member, config, member, sha256, tar

BASE = [
    member("etc", type=DIRECTORY),
    member("etc/same", b"same"),
    member("etc/text", b"before"),
    member("etc/mode", b"m"),
    member("gone", type=DIRECTORY),
    member("gone/deep", type=DIRECTORY),
    member("gone/deep/file", b"x" * 100),
    member("replaced", type=DIRECTORY),
    member("replaced/old", b"o"),
    member("link", type=LINK, linkname="etc/same"),
]
CHANGED = [
    member("etc", type=DIRECTORY, mtime=1),
    member("etc/same", b"same", mtime=12345),
    member("etc/text", b"after!"),
    member("etc/mode", b"m", mode=0o600),
    member(".wh.gone"),
    member("replaced", type=DIRECTORY),
    member("replaced/.wh..wh..opq"),
    member("replaced/new", b"nn"),
    member("link", type=LINK, linkname="etc/text"),
    member("added", b"1234"),
]
EXPECTED = [
    ("A", "/added", None, 4),
    ("C", "/etc/mode", 1, 1),
    ("C", "/etc/text", 6, 6),
    ("D", "/gone", 0, None),
    ("D", "/gone/deep", 0, None),
    ("D", "/gone/deep/file", 100, None),
    ("C", "/link", 0, 0),
    ("A", "/replaced/new", None, 2),
    ("D", "/replaced/old", 1, None),
]
OTHER_WAY = {"A": "D", "D": "A", "C": "C"}


def load(box: Box, place: Path, name: str, *layers: list[Member]) -> str:
    """Load an image of these layers under a name; its id."""
    layout = Layout()
    streams = [tar(*members) for members in layers]
    document = config(streams, created="2024-01-01T00:00:00Z")
    layout.list(layout.image(streams, document=document), name)
    box("load", "-q", "-i", str(layout.write(place / sha256(document)[7:19])))
    return sha256(document)


def version(box: Box, place: Path, number: int) -> str:
    return load(box, place, "app:1", [member("base", b"b" * 5000)], [member("number", b"%d" % number * 1000)])


@pytest.fixture
def own(fresh_box: Box) -> Iterator[Box]:
    """A box from which a prune without mercy takes everything."""
    yield fresh_box
    fresh_box("image", "prune", "-af", "--keep-versions", "1")
    assert list((fresh_box.root / "layers").iterdir()) == []


def log(box: Box, *words: str) -> list[list[str]]:
    return [line.split("|") for line in box.out("image", "log", "--format", *words).splitlines()]


def test_a_name_remembers_what_it_was_and_goes_back(own: Box, tmp_path: Path) -> None:
    one, two, three = (version(own, tmp_path, number) for number in (1, 2, 3))
    rows = log(own, "{{.Version}}|{{.ID}}|{{.Reason}}|{{.State}}", "--no-trunc", "app:1")
    assert rows == [["3", three, "load", "current"], ["2", two, "load", "kept"], ["1", one, "load", "kept"]]

    assert own.out("image", "rollback", "app:1") == two
    assert own.out("image", "inspect", "-f", "{{.Id}}", "app:1") == two
    assert own.out("image", "rollback", "app:1") == one, "going back twice goes back two versions"
    assert "no earlier version" in own.fails("image", "rollback", "app:1")
    assert own.out("image", "rollback", "app:1", "--to", "3") == three
    assert "nothing to go back to" in own.fails("image", "rollback", "app:1", "--to", "3")
    for number in ("9", "0", "-1"):
        assert f"no version {number}" in own.fails("image", "rollback", "app:1", "--to", number)
    assert own.out("image", "rollback", "app:1") == two, "what came before version 3"
    assert [row[0] for row in log(own, "{{.Reason}}", "app:1")][:2] == ["rollback to 2", "rollback to 3"]
    assert "was ever called nosuch" in own.fails("image", "log", "nosuch")
    assert "rollback" in own.out("events", "--since", "1m", "--until", "0s", "--filter", "type=image")


def test_prune_keeps_five_versions_and_says_so(own: Box, tmp_path: Path) -> None:
    made = [version(own, tmp_path, number) for number in range(7)]
    done = own("image", "prune", "-f")
    assert "4 images stay for 'devbox image rollback'" in done.stderr
    assert {f"deleted: {image}" for image in made[:2]} <= set(done.stdout.splitlines())
    assert made[2] not in done.stdout
    assert own.out("image", "rollback", "app:1", "--to", "3") == made[2]
    assert "version 1 of app:1 is gone" in own.fails("image", "rollback", "app:1", "--to", "1")
    states = [row[0] for row in log(own, "{{.State}}", "app:1")]
    assert states == ["current", *["kept"] * 5, "gone", "gone"], "the second last is that of now, too"

    done = own("system", "prune", "-f", "--keep-versions", "2")
    assert "1 image stays" in done.stderr
    assert "at least 1" in own.fails("image", "prune", "-f", "--keep-versions", "0")
    assert len(own.out("images", "-aq").split()) == 2
    own("image", "prune", "-f", "--keep-versions", "1")
    assert own.out("images", "-aq", "--no-trunc") == made[2]
    assert len(list((own.root / "layers").iterdir())) == 2


def test_what_runs_is_not_disturbed_and_moves_at_once_come_one_after_the_other(box: Box, name: str) -> None:
    tag = f"moved-{name}:1"
    for number in "12":
        dockerfile = f'FROM busybox\nRUN echo {number} > /number\nCMD ["sleep", "600"]\n'
        box("build", "-q", "-t", tag, "-", input=dockerfile)
    box("run", "-d", "--name", name, tag)
    box("image", "rollback", tag)
    assert box.out("exec", name, "cat", "/number") == "2"
    assert box.out("run", "--rm", tag, "cat", "/number") == "1"

    one, two = (box.out("image", "log", "-q", "--no-trunc", tag).splitlines()[number] for number in (2, 1))
    moves = [box.popen("image", "rollback", tag, "--to", "2"), box.popen("tag", two, tag), box.popen("rmi", tag)]
    moves += [box.popen("tag", one, tag) for _ in range(2)]
    for move in moves:
        move.wait(30)
    meant = box("image", "inspect", "-f", "{{.Id}}", tag, check=False)
    last = log(box, "{{.ID}}|{{.State}}", "--no-trunc", tag)[0]
    assert (last[1] == "current") is (meant.returncode == 0)
    assert meant.stdout.strip() in (last[0], ""), "the log says what the name means"
    assert box.out("exec", name, "cat", "/number") == "2"
    box("rm", "-f", name)
    box("rmi", tag, check=False)
    box("image", "prune", "-f")
    assert box.out("check") == "the store is in order"


def test_versions_of_a_removed_name_are_not_kept(own: Box, tmp_path: Path) -> None:
    old, _ = version(own, tmp_path, 1), version(own, tmp_path, 2)
    own("rmi", "app:1")
    assert own.out("image", "log", "-q", "--no-trunc", "app:1").splitlines()[-1] == old
    assert "stay" not in own("image", "prune", "-f").stderr
    assert own.out("images", "-aq") == ""
    assert "is gone" in own.fails("image", "rollback", "app:1")


def differences(box: Box, *words: str) -> list[tuple[str, str, int | None, int | None]]:
    lines = box.out("image", "diff", "--format", "json", *words).splitlines()
    rows = [json.loads(line) for line in lines]

    def number(text: str) -> int | None:
        return int(text) if text else None

    return [(row["Change"], row["Path"], number(row["BeforeBytes"]), number(row["AfterBytes"])) for row in rows]


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "nothing-shared"])
def test_images_are_compared_file_by_file(own: Box, tmp_path: Path, shared: bool) -> None:
    load(own, tmp_path, "a:1", BASE)
    below = BASE if shared else [*BASE, member("extra", b"")]
    load(own, tmp_path, "b:1", below, CHANGED)
    expected = (
        EXPECTED if shared else sorted([*EXPECTED, ("A", "/extra", None, 0)], key=lambda row: row[1].split("/"))
    )
    assert differences(own, "a:1", "b:1") == expected
    assert differences(own, "b:1", "a:1") == [(OTHER_WAY[k], path, b, a) for k, path, a, b in expected]
    assert differences(own, "a:1", "a:1") == []
    assert (
        own.out("image", "diff", "a:1", "b:1")
        .splitlines()[-1]
        .startswith(f"{2 if shared else 3} added, 3 changed, 4 removed; -95B")
    )
    assert own.out("image", "diff", "-q", "a:1", "b:1").splitlines()[0] == "/added"


def test_history_tells_the_layers_that_two_images_share(own: Box, tmp_path: Path) -> None:
    load(own, tmp_path, "a:1", BASE)
    load(own, tmp_path, "b:1", BASE, CHANGED)
    form = ("--format", "{{.Size}}|{{.Shared}}")
    assert own.out("history", *form, "--shared-with", "a:1", "b:1").splitlines() == ["17B|", "112B|yes"]
    assert "SHARED" not in own.out("history", "b:1")
    assert "SHARED" in own.out("history", "--shared-with", "a:1", "b:1")
