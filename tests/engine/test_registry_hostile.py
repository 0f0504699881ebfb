"""Registries that lie, stall, cut the line or redirect in circles: refused in a sentence, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import ENTRY, Box
from tests.engine.image_archives import Layout, as_json, member, sha256, tar
from tests.engine.registries import Handler, Liar, serving

FILE = tar(member("file", os.urandom(50_000)))
OTHER = tar(member("other", b"y" * 3000))
IMPATIENT = {"DEVBOX_REGISTRY_TIMEOUT": "0.5"}
Act = Callable[[Liar], object]


@pytest.fixture
def liar() -> Iterator[Liar]:
    liar = Liar([FILE, OTHER])
    with serving(liar):
        yield liar


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    box = Box(tmp_path_factory.mktemp("hostile") / "root")
    box("images")
    yield box
    box.close()


def refuse(box: Box, liar: Liar, *said: str) -> None:
    """A pull fails with these words and leaves nothing."""
    error = box.fails("pull", f"{liar.host}/x:1", env=IMPATIENT, timeout=30)
    for words in said:
        assert words in error
    assert "defect" not in error
    with contextlib.closing(sqlite3.connect(box.root / "state.db")) as db:
        assert db.execute("SELECT (SELECT count(*) FROM images) + (SELECT count(*) FROM tags)").fetchone() == (0,)
    for directory in ("layers", "tmp", "blobs/sha256"):
        assert os.listdir(box.root / directory) == []
    kept = os.listdir(box.root / "downloads") if (box.root / "downloads").exists() else []
    assert not kept or "it was tried" in error or "nothing answers" in error, "only what a broken line has left"
    box("image", "prune", "-f")
    assert not kept or os.listdir(box.root / "downloads") == []


def instead(data: bytes, size: int = -1, number: int = 0) -> Act:
    """Send something else than a layer, or say another size."""
    return lambda liar: liar.answer(liar.blob_path(number), lambda handler: handler.reply(200, data, size=size))


def manifest(change: Callable[[Any], object]) -> Act:
    return lambda liar: change(liar.manifest) and None


def raw(data: bytes) -> Act:
    return lambda liar: setattr(liar, "raw", data)


DEEP = b'{"schemaVersion": 2, "layers": ' + b"[" * 5000 + b"]" * 5000 + b"}"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (instead(FILE[:-1] + b"z"), "sent other bytes than those of"),
        (instead(FILE + b"z"), "which has 61440 bytes"),
        (instead(FILE[:100]), "sends 100 bytes as"),
        (instead(FILE, size=1 << 40), "sends 1099511627776 bytes as"),
        (instead(b"", number=1), "sends 0 bytes as"),
        (manifest(lambda m: m["layers"][0].update(size=-1)), "is said to have the size -1"),
        (manifest(lambda m: m["layers"][0].update(size=True)), "is said to have the size True"),
        (manifest(lambda m: m["layers"][0].update(size=1 << 60)), "is said to have the size"),
        (manifest(lambda m: m["layers"][0].update(digest="sha256:../../x")), "digest"),
        (manifest(lambda m: m["layers"][0].update(mediaType="text/plain")), "unknown type 'text/plain'"),
        (manifest(lambda m: m["layers"].pop()), "1 layers of an image whose config lists 2"),
        (manifest(lambda m: m["layers"].reverse()), "is damaged"),
        (manifest(lambda m: m["config"].update(size=1 << 30)), "is the most"),
        (manifest(lambda m: m["config"].update(size=3)), "more than 3 bytes"),
        (manifest(lambda m: m.pop("config")), "has no config"),
        (manifest(lambda m: m.update(schemaVersion=1)), "was given up in 2017"),
        (manifest(lambda m: m.update(manifests=[])), "neither an image nor an index"),
        (manifest(lambda m: m.update(mediaType="application/vnd.cncf.helm")), "something else than an image"),
        (manifest(lambda m: m.update(layers=m["layers"] * 200)), "is the most"),
        (raw(b" " * (5 << 20)), "answers with more than 4194304 bytes"),
        (raw(DEEP), "nested"),
        (raw(b"<html>"), "is not valid JSON"),
        (raw(b'{"schemaVersion": 2, "schemaVersion": 2}'), "a key appears twice"),
    ],
)
def test_lies_are_refused(box: Box, liar: Liar, act: Act, said: str) -> None:
    act(liar)
    refuse(box, liar, said)


def test_a_manifest_must_be_the_one_that_is_named(box: Box, liar: Liar) -> None:
    name = f"{liar.host}/x@sha256:{'0' * 64}"
    assert "is not the one it names" in box.fails("pull", name)
    header = {"Docker-Content-Digest": "sha256:" + "1" * 64}
    liar.answers["/v2/x/manifests/1"] = lambda handler: handler.reply(200, liar.document, header)
    refuse(box, liar, "is not the one it names")


def test_indexes_in_circles_end(box: Box, liar: Liar) -> None:
    seen: list[str] = []

    def another(handler: Handler) -> None:
        seen.append(handler.path)
        following = as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "n": len(seen)})
        entry = {"digest": sha256(following), "size": 1, "mediaType": INDEX, "platform": HERE}
        body = as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
        handler.reply(200, body)

    liar.answers["/v2/x/manifests/1"] = another
    inner = as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "n": 1})
    liar.answers[f"/v2/x/manifests/{sha256(inner)}"] = lambda handler: handler.reply(200, inner)
    refuse(box, liar, "has no image for linux/amd64")
    assert len(seen) == 1


HERE = {"os": "linux", "architecture": "amd64"}


@pytest.mark.parametrize("pause", ["head", "head-drip", "body", "drip"])
def test_a_registry_that_stalls_is_given_up(box: Box, liar: Liar, pause: str) -> None:
    def stall(handler: Handler) -> None:
        if pause == "head-drip":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        elif pause != "head":
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(FILE)))
            handler.end_headers()
            handler.wfile.write(FILE[:1000])
        begun = time.monotonic()
        while time.monotonic() - begun < 8:
            time.sleep(0.1)
            if "drip" in pause:
                handler.wfile.write(b"x")
        handler.cut()

    liar.answers[liar.blob_path()] = stall
    before = time.monotonic()
    refuse(box, liar, "sent 0 of" if pause == "head-drip" else "has stalled", "it was tried")
    assert time.monotonic() - before < 15


def test_a_cut_line_is_taken_up_where_it_broke(box: Box, liar: Liar) -> None:
    begins: list[str] = []

    def cut(handler: Handler) -> None:
        begins.append(handler.headers.get("Range", ""))
        begin = int((begins[-1] or "bytes=0-")[6:-1])
        if len(begins) < 4:
            extra = {"Content-Range": f"bytes {begin}-{len(FILE) - 1}/{len(FILE)}"} if begin else {}
            handler.reply(206 if begin else 200, FILE[begin : begin + 10_000], extra, size=len(FILE) - begin)
            handler.cut()
        else:
            handler.blob(FILE)

    liar.answers[liar.blob_path()] = cut
    box("pull", "-q", f"{liar.host}/x:1", env=IMPATIENT)
    assert begins == ["", "bytes=10000-", "bytes=20000-", "bytes=30000-"]
    box("rmi", f"{liar.host}/x:1")


def test_a_registry_that_cannot_go_on_begins_anew(box: Box, liar: Liar) -> None:
    tries: list[int] = []

    def forgetful(handler: Handler) -> None:
        tries.append(1)
        handler.reply(200, FILE if len(tries) > 2 else FILE[:20_000], size=len(FILE))
        if len(tries) < 3:
            handler.cut()

    liar.answers[liar.blob_path()] = forgetful
    box("pull", "-q", f"{liar.host}/x:1", env=IMPATIENT)
    assert len(tries) == 3
    box("rmi", f"{liar.host}/x:1")


def test_a_line_that_is_always_cut_ends_in_an_error(box: Box, liar: Liar) -> None:
    liar.answers[liar.blob_path()] = lambda handler: handler.cut()
    refuse(box, liar, "has cut the connection", "it was tried 3 times")


@pytest.mark.parametrize("status", [500, 429])
def test_a_fault_that_passes_is_waited_for(box: Box, liar: Liar, status: int) -> None:
    faults = [status, status]

    def faulty(handler: Handler) -> None:
        if faults:
            handler.reply(faults.pop(), b"{}", {"Retry-After": "0"})
        else:
            handler.reply(200, liar.document)

    liar.answers["/v2/x/manifests/1"] = faulty
    box("pull", "-q", f"{liar.host}/x:1", env=IMPATIENT)
    box("rmi", f"{liar.host}/x:1")
    faults += [status] * 3
    refuse(box, liar, f"fails: {status}")


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("{self}", "redirects more than 5 times"),
        ("file:///etc/passwd", "is no address with TLS"),
        ("ftp://localhost/x", "is no address with TLS"),
        ("http://localhost:1/x", "nothing answers at localhost:1"),
        ("", "redirects more than 5 times"),
        ("http://[::1", "which is no address with TLS"),
    ],
)
def test_redirects_lead_nowhere_else(box: Box, liar: Liar, location: str, said: str) -> None:
    target = location.format(self=f"http://{liar.host}{liar.blob_path()}")
    liar.answers[liar.blob_path()] = lambda handler: handler.reply(307, b"", {"Location": target})
    refuse(box, liar, said)


def test_what_is_no_registry_is_told(box: Box, liar: Liar) -> None:
    def nonsense(handler: Handler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        handler.close_connection = True

    liar.answers["/v2/x/manifests/1"] = nonsense
    refuse(box, liar, "answers what is no HTTP")
    liar.answers["/v2/x/manifests/1"] = lambda handler: handler.reply(404, b"\x1b]0;owned\x07")
    refuse(box, liar, "no such image in the registry", "check the spelling")


def test_a_digest_that_is_ours_is_not_believed_of_another_stream(box: Box, liar: Liar) -> None:
    """A registry that calls its own stream by the name of a layer that is here must not get that name pushed."""
    layout = Layout()
    layout.list(layout.image([FILE, OTHER]), "app:1")
    box("load", "-q", "-i", str(layout.write(box.root.parent / "layout")))
    liar.manifest["layers"][0]["digest"] = "sha256:" + "a" * 64
    box("pull", "-q", f"{liar.host}/x:1")
    assert not liar.requests("/blobs/sha256:aaaa"), "the layer is here"
    box("tag", "app:1", f"{liar.host}/y:1")
    liar.answers["/v2/y/blobs/uploads/"] = lambda handler: handler.reply(403, b"{}")
    box("push", f"{liar.host}/y:1", check=False)
    assert not liar.requests("/v2/y/blobs/sha256:aaaa")
    box("image", "prune", "-af")


def test_a_full_disk_is_told_and_given_back(tmp_path: Path) -> None:
    liar = Liar([tar(member("file", os.urandom(9 << 20)))])
    root = tmp_path / "small"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", root], check=True)
    try:
        box = Box(root / "root")
        with serving(liar):
            assert "no space left on device" in box.fails("pull", f"{liar.host}/x:1")
        assert box.out("images", "-aq") == ""
        assert os.listdir(box.root / "tmp") == []
        box.close()
    finally:
        subprocess.run(["umount", root], check=True)


KILLS = [
    *(("rename", 0), ("rename", 1), ("fdatasync", 0), ("fdatasync", 1), ("syncfs", 0), ("openat2", 1)),
    *(("sendto", 1), ("mkdir", 2), ("vfork,clone3", 1), ("unlinkat", 0)),
]


@pytest.mark.parametrize(("call", "after"), KILLS)
def test_a_pull_that_is_killed_at_a_call_leaves_all_or_nothing(
    box: Box, liar: Liar, call: str, after: int
) -> None:
    inject = f"inject={call}:signal=KILL:when={after + 1}"
    trace = ("strace", "-f", "-qq", "-e", f"trace={call}", "-e", inject, "-o", "/dev/null")
    pull = [*trace, *ENTRY, "pull", "-q", f"{liar.host}/x:1"]
    done = subprocess.run(pull, env=box.env, capture_output=True, timeout=60, check=False)
    assert done.returncode != 0, "it was not killed"
    box("ps")
    left = [path for path in (box.root / "tmp").iterdir() if any(path.iterdir())]
    assert not left, "an empty one without a lock yet stays for a minute"
    assert len(os.listdir(box.root / "layers")) == 2 * len(box.out("images", "-q").split())
    assert box.out("check") == "the store is in order"
    box("pull", "-q", f"{liar.host}/x:1")
    box("image", "prune", "-af")


def test_a_pull_that_is_killed_leaves_nothing(box: Box, liar: Liar) -> None:
    reached: list[bool] = []

    def hang(handler: Handler) -> None:
        handler.reply(200, FILE[:30_000], size=len(FILE))
        reached.append(True)
        time.sleep(3)

    liar.answers[liar.blob_path()] = hang
    for number in (signal.SIGKILL, signal.SIGINT):
        reached.clear()
        pull = box.popen("pull", f"{liar.host}/x:1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not reached:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        pull.send_signal(number)
        assert pull.wait(10) in (-signal.SIGKILL, 130)
        box("images")
        assert not [path for path in (box.root / "tmp").iterdir() if any(path.iterdir())]
        assert box.out("check") == "the store is in order"


@pytest.mark.parametrize("spoilt", [False, True])
def test_another_pull_goes_on_where_the_line_broke(fresh_box: Box, liar: Liar, spoilt: bool) -> None:
    """The first pull ends without the second half of a layer; what is kept of it is not trusted."""
    box = fresh_box  # that of all tests may have these layers
    begins: list[str] = []

    def cut(handler: Handler) -> None:
        begins.append(handler.headers.get("Range", ""))
        if begins[0]:
            handler.blob(FILE)
            return
        if len(begins) == 1:
            handler.reply(200, FILE[:20_000], size=len(FILE))
        handler.cut()

    liar.answers[liar.blob_path()] = cut
    error = box.fails("pull", "-q", f"{liar.host}/x:1", env=IMPATIENT)
    assert "it was tried" in error
    kept = {path.name: path.stat() for path in (box.root / "downloads").iterdir()}
    assert kept[liar.layers[1]["digest"][7:]].st_size == len(OTHER), "this one came whole"
    if spoilt:
        path = box.root / "downloads" / liar.layers[0]["digest"][7:]
        path.write_bytes(bytes(30_000))
    begins[:] = ["x"]
    whole = liar.requests(liar.blob_path(1))
    box("pull", "-q", f"{liar.host}/x:1", env=IMPATIENT)
    assert begins[1:] == (["bytes=30000-", ""] if spoilt else ["bytes=20000-"])
    assert liar.requests(liar.blob_path(1)) == whole, "it is not fetched again"
    assert os.listdir(box.root / "downloads") == []
    box("rmi", f"{liar.host}/x:1")


@pytest.mark.parametrize("other", [False, True])
def test_another_push_sends_the_rest(box: Box, other: bool) -> None:
    """The registry tells what it has of an upload; that this was not of another layer, the digest shows."""
    layout = Layout()
    layout.list(layout.image([FILE]), "app:1")
    box("load", "-q", "-i", str(layout.write(box.root.parent / f"rest-{other}")))
    liar = Liar([FILE])
    state: dict[str, bytearray] = {}
    broken = True

    def upload(handler: Handler) -> None:
        if handler.command == "POST":
            name = f"/up/{len(state)}"
            state[name] = bytearray()
            liar.answers[name] = upload
            handler.reply(202, b"", {"Location": name})
            return
        has = state[handler.path.partition("?")[0]]
        headers = {"Location": handler.path, "Range": f"0-{len(has) - 1}"}
        if handler.command == "GET":
            handler.reply(204 if has else 404, b"", headers)
        elif handler.command == "PUT":
            fits = f"digest={urllib.parse.quote(sha256(bytes(has)), safe='')}" in handler.path
            handler.reply(201 if fits else 400, b"{}")
        else:
            while length := int(handler.rfile.readline(), 16):
                has += handler.rfile.read(length)
                handler.rfile.readline()
                if broken:
                    del has[20_000:]
                    handler.cut()
                    return
            handler.rfile.readline()
            handler.reply(202, b"", headers)

    def put(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.reply(201)

    with serving(liar):
        name = f"{liar.host}/y:1"
        box("tag", "app:1", name)
        liar.answers |= {"/v2/y/blobs/uploads/": upload, "/v2/y/manifests/1": put}
        assert "it was tried" in box.fails("push", name, env=IMPATIENT)
        assert list(state) == ["/up/0"], "each attempt goes on with it"
        assert len(state["/up/0"]) == 20_000
        broken = False
        if other:
            state["/up/0"][:] = b"z" * 20_000
        patches = liar.requests("/up/0")
        box("push", name)
        assert len(liar.requests("/up/0")) > len(patches)
        assert len(state) == 1 + other, "the layer again where what was there was another's"
    with contextlib.closing(sqlite3.connect(box.root / "state.db")) as db:
        assert db.execute("SELECT count(*) FROM layer_uploads").fetchone() == (0,)
    box("image", "prune", "-af")


def test_an_upload_that_breaks_is_begun_again(box: Box) -> None:
    layout = Layout()
    layout.list(layout.image([FILE]), "app:1")
    box("load", "-q", "-i", str(layout.write(box.root.parent / "upload")))
    liar = Liar([FILE])
    got: list[int] = []

    def upload(handler: Handler) -> None:
        if handler.command == "POST":
            handler.reply(202, b"", {"Location": "/up?state=1"})
        elif handler.command == "PATCH":
            size = 0
            while length := int(handler.rfile.readline(), 16):
                size += len(handler.rfile.read(length))
                handler.rfile.readline()
                if not got:
                    got.append(size)
                    return handler.cut()
            handler.rfile.readline()
            got.append(size)
            handler.reply(202, b"", {"Location": "/up?state=2"})
        else:
            handler.reply(201)
        return None

    def put(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.reply(201)

    with serving(liar):
        box("tag", "app:1", f"{liar.host}/y:1")
        liar.answers |= {"/v2/y/blobs/uploads/": upload, "/up": upload, "/v2/y/manifests/1": put}
        assert "Pushed" in box.out("push", f"{liar.host}/y:1")
    assert len(got) == 2, "a broken one, and the whole"
    box("image", "prune", "-af")
