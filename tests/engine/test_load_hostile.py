"""Hostile and broken input of load and import: refused in one line, nothing left, little memory (SAFETY 1-5)."""

from __future__ import annotations

import contextlib
import gzip
import os
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import ENTRY, Box
from tests.engine.image_archives import (
    CONFIG,
    DIRECTORY,
    HARD_LINK,
    INDEX,
    LAYER,
    LINK,
    Layout,
    Member,
    as_json,
    config,
    docker_archive,
    member,
    sha256,
    tar,
    tar_of,
)

MIB = 1 << 20
MEASURE = """
import os, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
open(sys.argv[1], "w").write(str(used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""
GOOD = tar(member("etc", type=DIRECTORY), member("etc/file", b"content"))


class Refuser:
    """Runs a command that must fail, and looks at all that it may not do."""

    def __init__(self, box: Box, place: Path) -> None:
        self.box = box
        self.place = place
        self.canary = place / "canary"
        self.canary.mkdir()
        (self.canary / "file").write_text("untouched")

    def __call__(self, *args: str, stdin: Path | None = None) -> str:
        argv = [sys.executable, "-IS", "-c", MEASURE, str(self.place / "rss"), *ENTRY, *args]
        with (stdin or Path("/dev/null")).open("rb") as file:
            done = subprocess.run(
                argv, stdin=file, env=self.box.env, capture_output=True, text=True, timeout=60, check=False
            )
        assert done.returncode == 125, done.stdout + done.stderr
        assert done.stdout == ""
        said, *hint = done.stderr.splitlines()
        assert said.startswith("devbox: ")
        assert said.isprintable()
        assert len(said) < 400
        assert len(hint) <= 1
        assert int((self.place / "rss").read_text()) < 200 * 1024
        assert left(self.box) == []
        assert (self.canary / "file").read_text() == "untouched"
        assert os.listdir(self.canary) == ["file"]
        return said

    def load(self, data: bytes) -> str:
        (self.place / "in").write_bytes(data)
        return self("load", "-q", stdin=self.place / "in")

    def layer(self, *members: Member) -> str:
        return self.load(docker_archive([GOOD, tar(*members)], "x:1"))


def left(box: Box) -> list[str]:
    """What a command left in an empty store."""
    found = [str(path) for place in ("tmp", "layers", "blobs/sha256") for path in (box.root / place).iterdir()]
    with contextlib.closing(sqlite3.connect(box.root / "state.db")) as state:
        for table in ("images", "layers", "tags", "tag_moves", "events"):
            found += [f"a row of {table}" for _ in state.execute(f"SELECT * FROM {table}")]
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    box = Box(tmp_path_factory.mktemp("hostile"))
    box("images")
    yield box
    box.close()


@pytest.fixture
def refuse(empty: Box, tmp_path: Path) -> Refuser:
    return Refuser(empty, tmp_path)


# --- streams

WHOLE = docker_archive([GOOD], "x:1")
SQUEEZED = gzip.compress(WHOLE, 1)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def zstd(data: bytes, *options: str) -> bytes:
    return subprocess.run(["zstd", "-qc", *options], input=data, capture_output=True, check=True).stdout


STREAMS = {
    "empty": b"",
    "garbage": b"garbage" * 1000,
    "zeros": bytes(10240),
    "half a header": WHOLE[:300],
    "a header alone": WHOLE[:512],
    "half a layer": WHOLE[:1000],
    "no manifest": WHOLE[: 512 + 10240],
    "a header of another": flipped(WHOLE, 3),
    "half of gzip": SQUEEZED[: len(SQUEEZED) // 2],
    "gzip without its end": SQUEEZED[:-6],
    "a wrong sum of gzip": flipped(SQUEEZED, len(SQUEEZED) - 6),
    "garbage after gzip": SQUEEZED + b"garbage",
    "half of zstd": zstd(WHOLE)[:-20],
    "zstd of garbage": b"\x28\xb5\x2f\xfd" + b"garbage" * 10,
    "zstd with a window of 2 GiB": zstd(WHOLE + bytes(MIB), "--ultra", "-22", "--long=31"),
    "half of xz": subprocess.run(["xz", "-c"], input=WHOLE, capture_output=True, check=True).stdout[:-30],
    "bzip2 of garbage": b"BZh91AY&SY" + b"garbage" * 10,
}


@pytest.mark.parametrize("what", STREAMS)
def test_a_broken_stream(refuse: Refuser, what: str) -> None:
    refuse.load(STREAMS[what])


def test_a_broken_stream_through_a_pipe(empty: Box) -> None:
    done = subprocess.run(
        [*ENTRY, "load", "-q"], input=WHOLE[:1000], env=empty.env, capture_output=True, check=False
    )
    assert done.returncode == 125
    assert left(empty) == []


# --- manifests


def docker(manifest: Any, document: bytes = b"") -> bytes:
    data = manifest if isinstance(manifest, bytes) else as_json(manifest)
    return tar_of({"c.json": document or config([GOOD]), "l.tar": GOOD, "manifest.json": data})


def item(**fields: Any) -> dict[str, Any]:
    return {"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l.tar"], **fields}


NAMES_OUTSIDE = ["/etc/passwd", "../../../../etc/passwd", "l.tar/../../x", "absent", "", ".", "blobs"]
MANIFESTS = {
    "no JSON": b"[{",
    "no list": {},
    "an empty list": [],
    "too many": [item()] * 1001,
    "numbers": [1],
    "no config": [item(Config=None)],
    "a duplicate key": b'[{"Config":"c.json","Config":"c.json","Layers":["l.tar"]}]',
    "deep lists": b"[" * 100_000,
    "deep and whole": b"[" * 1000 + b"]" * 1000,
    "deep objects": b'{"a":' * 100_000,
    "not Unicode": b'[{"Config":"\xff"}]',
    "half a surrogate": b'[{"Config":"c.json","Layers":["l.tar"],"RepoTags":["\\ud800:1"]}]',
    "no number": b"[NaN]",
    "a long number": b"[" + b"9" * 100_000 + b"]",
    "over 4 MiB": b"[" + b" " * (4 * MIB) + b"]",
    "a million lists": b"[" + b"[]," * (MIB + MIB // 3 - 10) + b"[]]",
    "many objects": b"[" + b'{"":0},' * (4 * MIB // 7 - 10) + b"{}]",
    "many lists in lists": b"[" + b"[[]]," * (4 * MIB // 5 - 10) + b"[]]",
    "many objects in lists": b"[" + b"[{}]," * (4 * MIB // 5 - 10) + b"[]]",
    "many objects in objects": b"[" + b'{"":{}},' * (4 * MIB // 8 - 10) + b"[]]",
    "many texts": b"[" + b'"\xc3\xa9",' * (4 * MIB // 5 - 10) + b"[]]",
    "many long keys": b"[{" + b",".join(b'"%x":0' % n for n in range(400_000)) + b"}]",
    "other layers than the config": [item(Layers=["l.tar", "l.tar"])],
    "no layers": [item(Layers=[])],
    "layers that are none": [item(Layers="l.tar")],
    **{f"layer {name!r}": [item(Layers=[name])] for name in NAMES_OUTSIDE},
    **{f"config {name!r}": [item(Config=name)] for name in NAMES_OUTSIDE},
    "another layer": [item(Layers=["c.json"])],
    "a name with an escape": [item(RepoTags=["\x1b[2J:1"])],
    "a name that leads out": [item(RepoTags=["../../x:1"])],
    "a name with a line": [item(RepoTags=["x:1\ny:2"])],
    "a very long name": [item(RepoTags=["x" * 5000])],
    "a name that is an id": [item(RepoTags=["sha256:" + "0" * 64])],
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_hostile_manifest(refuse: Refuser, what: str) -> None:
    refuse.load(docker(MANIFESTS[what]))


def test_a_large_config_a_thousand_times(refuse: Refuser) -> None:
    document = config([GOOD], {"Labels": {"x": "x" * (4 * MIB - 1000)}})
    assert "configs" in refuse.load(docker([item()] * 1000, document))


def test_many_layers_a_thousand_times(refuse: Refuser) -> None:
    made = Layout()
    manifest = made.image([GOOD] * 250)
    for _ in range(1000):
        made.list(manifest)
    made.files["blobs/" + sha256(GOOD).replace(":", "/")] = flipped(GOOD, 600)
    assert "damaged" in refuse.load(made.tar())


def test_links_of_an_archive_stay_in_it(refuse: Refuser) -> None:
    for kind in (LINK, HARD_LINK):
        for target in ("/etc/passwd", "../../../etc/passwd", "l.tar", "m.tar"):
            link = member("l.tar", type=kind, linkname=target), member("m.tar", type=kind, linkname="l.tar")
            files = [member("c.json", config([GOOD])), *link, member("manifest.json", as_json([item()]))]
            assert "no file" in refuse.load(tar(*files))


def layout(change: Callable[[Layout], None]) -> Layout:
    made = Layout()
    change(made)
    return made


def damaged(which: str) -> Callable[[Layout], None]:
    """The blob is another than its name says, of the same size."""

    def change(made: Layout) -> None:
        made.list(made.image([GOOD]))
        wanted = {"layer": sha256(GOOD), "config": sha256(config([GOOD])), "manifest": made.listed[0]["digest"]}
        name = "blobs/" + wanted[which].replace(":", "/")
        made.files[name] = flipped(made.files[name], 2)

    return change


def with_descriptor(**fields: Any) -> Callable[[Layout], None]:
    """The layer's descriptor says something else."""

    def change(made: Layout) -> None:
        made.list(made.image([GOOD], layers=[{**made.blob(GOOD), **fields}]))

    return change


def listed(**fields: Any) -> Callable[[Layout], None]:
    """The descriptor in index.json says something else."""
    return lambda made: made.list({**made.image([GOOD]), **fields})


def with_manifest(**fields: Any) -> Callable[[Layout], None]:
    return lambda made: made.list(made.image([GOOD], **fields))


def nested(made: Layout) -> None:
    inner = made.image([GOOD])
    for _ in range(10):
        inner = made.blob(as_json({"schemaVersion": 2, "manifests": [inner]}), INDEX)
    made.list(inner)


def squeezed_otherwise(made: Layout) -> None:
    """Right digest of the blob, wrong content."""
    blob = made.blob(gzip.compress(tar(member("other", b"x"))), LAYER + "+gzip")
    made.list(made.image([GOOD], layers=[blob]))


def squeezed_again(made: Layout) -> None:
    """Right content, wrong digest of the blob: the time in the header of gzip is another."""
    data = gzip.compress(GOOD, mtime=1)
    blob = made.blob(data, LAYER + "+gzip")
    made.list(made.image([GOOD], layers=[blob]))
    made.files["blobs/" + blob["digest"].replace(":", "/")] = gzip.compress(GOOD, mtime=2)


def too_many(made: Layout) -> None:
    manifest = made.image([GOOD])
    for _ in range(1001):
        made.list(manifest)


DIGESTS: list[Any] = ["sha256:../../../etc/passwd", "sha256:" + "A" * 64, "sha512:" + "0" * 128, "", None, 7, []]
LAYOUTS: dict[str, Callable[[Layout], None]] = {
    "damaged layer": damaged("layer"),
    "damaged config": damaged("config"),
    "damaged manifest": damaged("manifest"),
    "another content": squeezed_otherwise,
    "squeezed again": squeezed_again,
    **{
        f"size {size!r}": with_descriptor(size=size)
        for size in (0, -1, len(GOOD) + 1, 1 << 70, str(len(GOOD)), None)
    },
    **{f"digest {digest!r:.30}": with_descriptor(digest=digest) for digest in DIGESTS},
    "unknown layer": with_descriptor(mediaType="application/x-sh"),
    "encrypted layer": with_descriptor(mediaType=LAYER + "+encrypted"),
    "unknown manifest": listed(mediaType="application/vnd.docker.distribution.manifest.v1+json"),
    "absent manifest": listed(digest="sha256:" + "0" * 64),
    "manifest and index": with_manifest(manifests=[]),
    "index and manifest": listed(mediaType=INDEX),
    "config is no object": with_manifest(config=[]),
    "config is a layer": with_manifest(config={"mediaType": CONFIG, "digest": sha256(GOOD), "size": len(GOOD)}),
    "nested": nested,
    "no images": lambda made: None,
    "too many images": too_many,
}


@pytest.mark.parametrize("what", LAYOUTS)
def test_a_hostile_layout(refuse: Refuser, what: str) -> None:
    refuse.load(layout(LAYOUTS[what]).tar())


def test_a_layout_in_a_directory_is_not_left_through_links(refuse: Refuser, tmp_path: Path) -> None:
    made = layout(listed())
    blob = "blobs/" + sha256(GOOD).replace(":", "/")
    for number, target in enumerate(("/etc/passwd", str(tmp_path / "elsewhere"), "fifo")):
        (tmp_path / "elsewhere").write_bytes(GOOD)
        place = made.write(tmp_path / str(number))
        (place / blob).unlink()
        if target == "fifo":
            os.mkfifo(place / blob)
        else:
            (place / blob).symlink_to(target)
        assert "no file" in refuse("load", "-q", "-i", str(place))


# --- configs

CONFIGS: dict[str, dict[str, Any]] = {
    "windows": {"os": "windows"},
    "no list of layers": {"rootfs": {"diff_ids": {}}},
    "a bad digest": {"rootfs": {"diff_ids": ["sha256:../.."]}},
    "another digest": {"rootfs": {"diff_ids": ["sha256:" + "0" * 64]}},
    "a bad time": {"created": "yesterday"},
    "a month 13": {"created": "2024-13-01T00:00:00Z"},
    "a long history": {"history": [{}] * 10_001},
    "a history of texts": {"history": ["x"]},
    "an author that is none": {"author": {"x": 1}},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "Env of numbers": {"Env": [1]},
    "NUL in Env": {"Env": ["A=\0"]},
    "NUL in Cmd": {"Cmd": ["\0"]},
    "NUL in User": {"User": "root\0"},
    "NUL in WorkingDir": {"WorkingDir": "/\0"},
    "a volume outside": {"Volumes": {"/../../etc": {}}},
    "a relative volume": {"Volumes": {"etc": {}}},
    "port 0": {"ExposedPorts": {"0/tcp": {}}},
    "port 65536": {"ExposedPorts": {"65536/tcp": {}}},
    "a port that is none": {"ExposedPorts": {"80/tcp; reboot": {}}},
    "Labels of lists": {"Labels": {"a": []}},
    "a negative time": {"Healthcheck": {"Test": ["CMD", "true"], "Interval": -1}},
    "a true retry": {"Healthcheck": {"Test": ["CMD", "true"], "Retries": True}},
    "a huge time": {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 1 << 80}},
    "an Entrypoint of objects": {"Entrypoint": [{}]},
}


@pytest.mark.parametrize("what", [*CONFIGS, *SETTINGS])
def test_a_hostile_config(refuse: Refuser, what: str) -> None:
    document = config([GOOD], SETTINGS.get(what), **CONFIGS.get(what, {}))
    refuse.load(docker_archive([GOOD], "x:1", document=document))


def test_a_duplicate_key_in_a_config(refuse: Refuser) -> None:
    document = config([GOOD])[:-1] + b',"os":"linux"}'
    assert "twice" in refuse.load(docker_archive([GOOD], "x:1", document=document))


def test_what_an_image_says_is_escaped(box: Box, tmp_path: Path) -> None:
    text = "\x1b]0;owned\x07\x9b2J\u202e\nline"
    document = config([GOOD], {"Cmd": [text]}, author=text, history=[{"created_by": text, "comment": text}])
    (tmp_path / "in").write_bytes(docker_archive([GOOD], "said:1", document=document))
    box("load", "-i", str(tmp_path / "in"))
    shown = box.out("history", "--no-trunc", "said:1") + box.out("images") + box.out("image", "inspect", "said:1")
    box("rmi", "said:1")
    assert all(line.isprintable() for line in shown.splitlines())


# --- layers


def base256(number: int, width: int = 12) -> bytes:
    return (number + (1 << 8 * width) if number < 0 else number | 0x80 << 8 * (width - 1)).to_bytes(width, "big")


def patched(at: int, field: bytes) -> bytes:
    """An archive whose first header has another field."""
    data = bytearray(tar(member("file", b"content")))
    data[at : at + len(field)] = field
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


OUT = "../" * 40
FIELDS = {
    "size -1": (124, base256(-1)),
    "size -512": (124, base256(-512)),
    "size 2^90": (124, base256(1 << 90)),
    "size 10 GiB": (124, base256(10 << 30)),
    "size that is none": (124, b"0x00000007\0\0"),
    "owner -1": (108, base256(-1, 8)),
    "owner 2^32-1": (108, base256((1 << 32) - 1, 8)),
    "group 2^31": (116, base256(1 << 31, 8)),
    "type 9": (156, b"9"),
    "a name with NUL before its end": (257, b"notar\0"),
}


@pytest.mark.parametrize("what", [name for name in FIELDS if "NUL" not in name])
def test_a_hostile_header(refuse: Refuser, what: str) -> None:
    refuse.load(docker_archive([patched(*FIELDS[what])], "x:1"))


def hostile_layers(canary: str) -> dict[str, list[Member]]:
    through = member("link", type=LINK, linkname=canary)
    relative = member("link", type=LINK, linkname=OUT + canary)
    chain = [
        member("a", type=LINK, linkname="b"),
        member("b", type=LINK, linkname="c/.."),
        member("c", type=LINK, linkname=canary),
    ]
    deep = [member("d/" * depth, type=DIRECTORY) for depth in range(1, 60)]
    return {
        "dots": [member(OUT + canary + "/file", b"x")],
        "dots inside": [member("etc/../../x", b"x")],
        "through a link": [through, member("link/file", b"x")],
        "through a relative link": [relative, member("link/file", b"x")],
        "new through a link": [through, member("link/new", b"x")],
        "a directory through a link": [through, member("link/d", type=DIRECTORY)],
        "through a chain": [*chain, member("a/canary/file", b"x")],
        "a deletion through a link": [through, member("link/.wh.file")],
        "an opaque mark through a link": [through, member("link/.wh..wh..opq")],
        "a deletion of dots": [member("etc/.wh...")],
        "a deletion of a dot": [member(".wh..")],
        "below a deletion": [member(".wh.x/y", b"x")],
        "a deletion with dots": [member("../.wh.canary")],
        "a hard link out": [member("hard", type=HARD_LINK, linkname=canary + "/file"), member("hard", b"x")],
        "a hard link by dots": [member("hard", type=HARD_LINK, linkname=OUT + canary + "/file")],
        "a hard link through a link": [through, member("hard", type=HARD_LINK, linkname="link/file")],
        "a hard link to a directory": [
            member("d", type=DIRECTORY),
            member("hard", type=HARD_LINK, linkname="d"),
        ],
        "the top is a link": [member(".", type=LINK, linkname=canary), member("file", b"x")],
        "a path over PATH_MAX": [member("d/" * 2100 + "f", b"x")],
        "a name over NAME_MAX": [member("n" * 256, b"x")],
        "an attribute record over 1 MiB": [member("f", b"x", pax_headers={"comment": "x" * (MIB + 1)})],
        "an attribute of 70 KB": [member("f", b"x", pax_headers={"SCHILY.xattr.user.x": "x" * 70_000})],
        "a time that is none": [member("f", b"x", pax_headers={"mtime": "x"})],
        "a device that is none": [member("f", type=tarfile.CHRTYPE, devmajor=0o7777777, devminor=1)],
        "a sparse file of 1 PiB": [
            member(
                "f",
                b"1\n0\n1\n".ljust(512, b"\0") + b"x",
                pax_headers={
                    "GNU.sparse.major": "1",
                    "GNU.sparse.minor": "0",
                    "GNU.sparse.name": "f",
                    "GNU.sparse.realsize": str(1 << 50),
                },
            )
        ],
        "a sparse file with overlaps": [
            member("f", b"xy", pax_headers={"GNU.sparse.map": "5,1,0,1", "GNU.sparse.size": "9"})
        ],
        "a file below a file": [member("f", b"x"), member("f/g", b"x"), *deep],
        "a fifo below nothing": [member("f", type=LINK, linkname="absent"), member("f/g", type=tarfile.FIFOTYPE)],
    }


@pytest.mark.parametrize("what", hostile_layers(""))
def test_a_hostile_layer(refuse: Refuser, what: str) -> None:
    refuse.layer(*hostile_layers(str(refuse.canary))[what])


def test_many_layers(empty: Box, box: Box, refuse: Refuser, tmp_path: Path) -> None:
    """125 run, and as many as may be loaded; one more is refused when it is loaded."""
    assert "has 251" in refuse.load(docker_archive([GOOD] * 251, "many:251"))
    box("save", "-o", str(tmp_path / "busybox"), "busybox")
    with tarfile.open(tmp_path / "busybox") as archive:
        file = archive.extractfile(archive.getmembers()[0])
        assert file is not None
        lowest = file.read()
    small = [tar(member(f"layer{number}", b"x" * number)) for number in range(1, 250)]
    for count in (125, 250):
        (tmp_path / "in").write_bytes(docker_archive([lowest, *small[: count - 1]], f"many:{count}"))
        box("load", "-q", "-i", str(tmp_path / "in"))
        script = "ls / | grep -c ^layer; wc -c < /layer124"
        assert box.out("run", "--rm", f"many:{count}", "sh", "-c", script).split() == [str(count - 1), "124"]
    box("run", "--name", "many", "many:250", "touch", "/one-more")
    assert "250" in box.fails("commit", "many", "many:251")
    box("rm", "many")
    box("rmi", "many:125", "many:250")


# --- bombs

ZEROS = {"gzip": gzip.compress(bytes(64 * MIB), 1), "zstd": zstd(bytes(64 * MIB), "-1")}
SQUEEZE: dict[str, Callable[[bytes], bytes]] = {"gzip": lambda data: gzip.compress(data, 1), "zstd": zstd}


def bomb(kind: str, head: bytes) -> bytes:
    """`head` and 1.5 GiB of zeros after it, in a few hundred kilobytes."""
    return SQUEEZE[kind](head) + ZEROS[kind] * 24


def bomb_archive(kind: str, head: bytes) -> bytes:
    made = Layout()
    document = config([], rootfs={"type": "layers", "diff_ids": ["sha256:" + "0" * 64]})
    made.list(made.image([], document=document, layers=[made.blob(bomb(kind, head), f"{LAYER}+{kind}")]))
    return made.tar()


def test_large_attributes_of_directories_do_not_fill_the_memory(refuse: Refuser) -> None:
    """Directories get theirs last, so that until then they must be kept somewhere: 300 MB of them."""
    info, _ = member("d", type=DIRECTORY, pax_headers={"SCHILY.xattr.user.x": "x" * 60_000})
    entries = gzip.compress(info.tobuf(tarfile.PAX_FORMAT), 1) * 5000
    made = Layout()
    document = config([], rootfs={"type": "layers", "diff_ids": ["sha256:" + "0" * 64]})
    made.list(made.image([], document=document, layers=[made.blob(entries, LAYER + "+gzip")]))
    refuse.load(made.tar())


def test_long_names_do_not_fill_the_memory(refuse: Refuser) -> None:
    assert "names" in refuse.load(tar(*(member(f"{number:04}" + "n/" * 2000 + "f") for number in range(2200))))


@pytest.mark.parametrize("kind", ZEROS)
def test_a_bomb_of_one_file_stops_before_it_is_written(refuse: Refuser, kind: str) -> None:
    header = patched(124, base256(1 << 40))[:512]
    assert "more than" in refuse.load(bomb_archive(kind, header))


def test_a_bomb_of_nothing(refuse: Refuser) -> None:
    assert "more than" in refuse.load(bomb_archive("zstd", GOOD))


def test_a_bomb_around_an_archive(refuse: Refuser) -> None:
    assert "more than" in refuse.load(bomb("gzip", WHOLE))


# --- import


@pytest.mark.parametrize("what", [name for name in STREAMS if name not in ("zeros", "no manifest")])
def test_import_of_a_broken_stream(refuse: Refuser, tmp_path: Path, what: str) -> None:
    (tmp_path / "in").write_bytes(STREAMS[what])
    refuse("import", str(tmp_path / "in"), "x:1")
    refuse("import", "-", "x:1", stdin=tmp_path / "in")


@pytest.mark.parametrize("what", ["dots", "through a link", "through a relative link", "a hard link out"])
def test_import_of_a_hostile_tree(refuse: Refuser, tmp_path: Path, what: str) -> None:
    (tmp_path / "in").write_bytes(tar(*hostile_layers(str(refuse.canary))[what]))
    refuse("import", str(tmp_path / "in"), "x:1")


@pytest.mark.parametrize("kind", ZEROS)
def test_import_of_a_bomb(refuse: Refuser, tmp_path: Path, kind: str) -> None:
    (tmp_path / "in").write_bytes(bomb(kind, patched(124, base256(1 << 40))[:512]))
    assert "more than" in refuse("import", str(tmp_path / "in"), "x:1")


@pytest.mark.parametrize(
    "words", [("Upper:1",), ("-c", "RUN true", "x:1"), ("--platform", "windows/amd64", "x:1")]
)
def test_import_with_hostile_words(refuse: Refuser, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "in").write_bytes(GOOD)
    *options, name = words
    refuse("import", *options, str(tmp_path / "in"), name)
