"""Box files are checked before Vagrant sees them."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import struct
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devbox.errors import DevboxError, HostError, NotFoundError, RefusedError
from devbox.machine import places
from devbox.machine.drivers import box
from devbox.machine.drivers.vagrant_driver import VagrantDriver
from devbox.machine.settings import MachineSettings
from tests.unit.machine.conftest import Machine


def image(backing: int = 0, incompatible: int = 0) -> bytes:
    return (
        (b"QFI\xfb" + struct.pack(">IQ", 3, backing)).ljust(72, b"\0")
        + struct.pack(">Q", incompatible)
        + bytes(64)
    )


def make(path: Path, content: bytes, name: str = "./box.img") -> str:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return str(path)


def test_a_sound_box_is_known_by_its_content(tmp_path: Path) -> None:
    path = make(tmp_path / "a.box", image())
    digest = box.check(path, "")
    assert box.check(path, digest) == digest
    with pytest.raises(RefusedError, match="is not the box"):
        box.check(path, "0" * 64)


def vmdk(description: bytes) -> bytes:
    return (b"KDMV" + bytes(24) + struct.pack("<QQ", 1, 1)).ljust(512, b"\0") + description.ljust(512, b"\0")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (image(backing=8), "backing"),
        (image(incompatible=4), "another file"),
        (image()[:50], "cut off"),
        (b'# Disk DescriptorFile\nRW 9 FLAT "/etc/shadow" 0\n', "another file"),
        (vmdk(b'parentFileNameHint="/etc/shadow"'), "a parent"),
    ],
)
@pytest.mark.parametrize("name", ["./box.img", "disk"])
def test_an_image_that_leads_elsewhere_is_refused(tmp_path: Path, content: bytes, why: str, name: str) -> None:
    with pytest.raises(RefusedError, match=why):
        box.check(make(tmp_path / "a.box", content, name), "")


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x"])
def test_a_name_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError, match="plain file"):
        box.check(make(tmp_path / "a.box", b"x", name), "")


def test_a_link_in_a_box_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.box", "w") as archive:
        member = tarfile.TarInfo("box.img")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/shadow"
        archive.addfile(member)
    with pytest.raises(RefusedError, match="plain file"):
        box.check(str(tmp_path / "a.box"), "")


def test_a_vmdk_without_a_parent_is_taken(tmp_path: Path) -> None:
    box.check(make(tmp_path / "a.box", vmdk(b'createType="streamOptimized"')), "")


@contextlib.contextmanager
def served(directory: Path) -> Iterator[str]:
    """Its files on a server on loopback."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(directory))

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def entry(url: str, provider: str = "libvirt", **more: Any) -> dict[str, Any]:
    return {"name": provider, "url": url, "checksum_type": "sha256", "checksum": "a" * 64} | more


def metadata(path: Path, *versions: tuple[str, list[dict[str, Any]]]) -> str:
    document = [{"version": number, "providers": entries} for number, entries in versions]
    path.write_text(json.dumps({"name": "devbox/x", "versions": document}))
    return str(path)


def test_the_newest_box_for_provider_and_architecture_is_found(tmp_path: Path) -> None:
    arm, amd = {"architecture": "arm64"}, {"architecture": "amd64"}
    place = metadata(
        tmp_path / "metadata.json",
        ("9.0.0", [entry("file:///old")]),
        ("10.0.0", [entry("file:///arm", **arm), entry("file:///amd", **amd), entry("file:///q", "qemu", **arm)]),
    )
    assert box.found(place, "libvirt", "amd64") == ("/amd", "a" * 64)
    assert box.found(place, "libvirt", "arm64").url == "/arm"
    with pytest.raises(RefusedError, match="no box for the provider qemu on amd64"):
        box.found(place, "qemu", "amd64")


@pytest.mark.parametrize("more", [{"checksum_type": "md5"}, {"checksum": ""}, {"checksum": "A" * 64}])
def test_metadata_without_a_sha256_is_refused(tmp_path: Path, more: dict[str, Any]) -> None:
    place = metadata(tmp_path / "metadata.json", ("1.0.0", [entry("file:///x", **more)]))
    with pytest.raises(RefusedError, match="without its sha256"):
        box.found(place, "libvirt", "amd64")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"versions": [{"version": 1}]}'])
def test_what_is_no_metadata_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "metadata.json").write_text(text)
    with pytest.raises(RefusedError, match="no metadata"):
        box.found(str(tmp_path / "metadata.json"), "libvirt", "amd64")
    with pytest.raises(NotFoundError):
        box.found(str(tmp_path / "none.json"), "libvirt", "amd64")


def test_a_box_comes_from_a_server_and_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    sound = make(tmp_path / "www/a.box", image())
    digest = hashlib.sha256(Path(sound).read_bytes()).hexdigest()
    target = tmp_path / "fetched"
    with served(tmp_path / "www") as url:
        metadata(tmp_path / "www/metadata.json", ("1.0.0", [entry(f"{url}/a.box", checksum=digest)]))
        named = box.found(f"{url}/metadata.json", "libvirt", "amd64")
        box.fetch(*named, str(target), lambda _: None)
        assert box.check(str(target), digest) == digest
        with pytest.raises(RefusedError, match="not the box that was asked for"):
            box.fetch(f"{url}/a.box", "0" * 64, str(target), lambda _: None)
        assert not target.exists()
        with pytest.raises(HostError, match="cannot be fetched"):
            box.fetch(f"{url}/b.box", digest, str(target), lambda _: None)
        metadata(tmp_path / "www/metadata.json", ("1.0.0", [entry("file:///etc/shadow")]))
        with pytest.raises(RefusedError, match="not on the network"):
            box.found(f"{url}/metadata.json", "libvirt", "amd64")
    with pytest.raises(HostError, match="cannot be fetched"):
        box.fetch(f"{url}/a.box", digest, str(target), lambda _: None)


def test_what_is_no_box_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.box").write_text("hello")
    with pytest.raises(RefusedError, match="no box"):
        box.check(str(tmp_path / "a.box"), "")
    with pytest.raises(NotFoundError):
        box.check(str(tmp_path / "b.box"), "")


def test_up_takes_the_box_that_metadata_names(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "www").mkdir()
    sound = make(tmp_path / "www/a.box", image())
    digest = hashlib.sha256(Path(sound).read_bytes()).hexdigest()
    with served(tmp_path / "www") as url:
        metadata(tmp_path / "www/metadata.json", ("1.0.0", [entry(f"{url}/a.box", checksum=digest)]))
        (machine.fake / "up").write_text("fail the box is here, and that is enough\n")
        for wanted, why in ((digest, "that is enough"), ("b" * 64, "the settings want")):
            wish = MachineSettings("lab", "libvirt", box=f"{url}/metadata.json", box_sha256=wanted)
            with pytest.raises(DevboxError, match=why):
                VagrantDriver(places.machine("lab"), wish).up(machine.report)
    added = next(call for call in machine.calls if call.startswith("box add"))
    assert f"--name devbox-{digest[:16]}" in added
    assert added.endswith(f"--checksum {digest} {tmp_path}/data/devbox/machines/lab/fetched.box")
    assert not (tmp_path / "data/devbox/machines/lab/fetched.box").exists()
