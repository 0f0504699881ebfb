"""What provision/box.sh writes about a box, and where it puts a boot loader."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from devbox.machine.drivers import box

PARTS = Path(__file__).parents[3] / "provision/box"


def run(script: str, *words: object) -> str:
    line = [sys.executable, str(PARTS / script), *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def test_metadata_names_every_box_with_its_sha256_and_is_understood(tmp_path: Path) -> None:
    for name in ("devbox-libvirt-amd64.box", "devbox-qemu-arm64.box", "devbox-arm64.qcow2", "other.box"):
        (tmp_path / name).write_text(name)
    place = tmp_path / "metadata.json"
    place.write_text(run("metadata.py", tmp_path, "https://example.org/v1", "devbox/systemd"))
    (version,) = json.loads(place.read_text())["versions"]
    assert [(each["name"], each["architecture"]) for each in version["providers"]] == [
        ("libvirt", "amd64"),
        ("qemu", "arm64"),
    ]
    named = box.found(str(place), "qemu", "arm64")
    assert named.url == "https://example.org/v1/devbox-qemu-arm64.box"
    assert named.sha256 == hashlib.sha256(b"devbox-qemu-arm64.box").hexdigest()


def test_the_description_for_virtualbox_names_its_disk(tmp_path: Path) -> None:
    (tmp_path / "disk.vmdk").write_bytes(b"x" * 77)
    envelope = ElementTree.fromstring(run("ovf.py", tmp_path / "disk.vmdk", 20, 2048))
    ovf = "{http://schemas.dmtf.org/ovf/envelope/1}"
    (file,) = envelope.iter(f"{ovf}File")
    assert (file.get(f"{ovf}href"), file.get(f"{ovf}size")) == ("disk.vmdk", "77")
    (disk,) = envelope.iter(f"{ovf}Disk")
    assert disk.get(f"{ovf}capacity") == str(20 << 30)
    assert (disk.get(f"{ovf}fileRef"), disk.get(f"{ovf}diskId")) == (file.get(f"{ovf}id"), "vmdisk1")
    found = "".join(envelope.itertext())
    assert "/disk/vmdisk1" in found
    assert "2048" in found


def test_grub_is_put_where_a_bios_and_grub_itself_look(tmp_path: Path) -> None:
    (tmp_path / "boot.img").write_bytes(bytes(512))
    (tmp_path / "core.img").write_bytes(b"\x01" * 1300)
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xee" * (2060 * 512))
    run("bios.py", tmp_path / "boot.img", tmp_path / "core.img", disk, 2048)
    data = disk.read_bytes()
    assert data[510:512] == b"\x55\xaa"
    assert data[440:510] == b"\xee" * 70  # the table of partitions
    assert struct.unpack_from("<Q", data, 0x5C) == (2048,)
    core = data[2048 * 512 :]
    assert struct.unpack_from("<QH", core, 0x1F4) == (2049, 2)
    assert core[510:1300] == b"\x01" * 790
    assert core[1300:] == b"\xee" * (12 * 512 - 1300)
