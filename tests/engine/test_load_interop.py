"""What other tools write is loaded, and they read what is saved: skopeo and umoci as witnesses."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box
from tests.engine.image_archives import (
    DIRECTORY,
    HARD_LINK,
    INDEX,
    LINK,
    Layout,
    as_json,
    config,
    docker_archive,
    member,
    sha256,
    tar,
)

LOW = tar(
    member("d", type=DIRECTORY),
    member("d/kept", b"kept", mode=0o640, uid=7, gid=8, mtime=1),
    member("d/gone", b"gone"),
    member("hidden", type=DIRECTORY),
    member("hidden/below", b"x"),
    member("suid", b"#!", mode=0o6755, mtime=1700000000.25, pax_headers={"mtime": "1700000000.250000001"}),
    member("hard", type=HARD_LINK, linkname="suid"),
    member("soft", type=LINK, linkname="/d/kept"),
    member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
    member("fifo", type=tarfile.FIFOTYPE, mode=0o600),
    member("caf\udce9", b"not UTF-8"),
)
HIGH = tar(
    member("d/.wh.gone"),
    member("hidden", type=DIRECTORY),
    member("hidden/.wh..wh..opq"),
    member("hidden/new", b"new"),
)
LAYERS = (LOW, HIGH)
SETTINGS = {"Env": ["A=1"], "Cmd": ["/suid"], "Labels": {"x": "y"}, "ExposedPorts": {"80/tcp": {}}}
DOCUMENT = config(LAYERS, SETTINGS, created="2024-05-01T10:00:00.123456789Z", history=[{}, {"comment": "two"}])
ID = sha256(DOCUMENT)
NAME = "registry.example:5000/team/app:1.0"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    box = Box(tmp_path_factory.mktemp("interop"))
    yield box
    box.close()


@pytest.fixture
def empty(store: Box) -> Iterator[Box]:
    """The store of this module, without an image."""
    yield store
    ids = store.out("images", "-q", "--no-trunc").split()
    if ids:
        store("rmi", "-f", *ids)
    assert not any((store.root / "tmp").iterdir())
    assert not any((store.root / "layers").iterdir())


@pytest.fixture
def loaded(empty: Box, tmp_path: Path) -> Box:
    (tmp_path / "first.tar").write_bytes(docker_archive(LAYERS, NAME, "other:2", document=DOCUMENT))
    empty("load", "-q", "-i", str(tmp_path / "first.tar"))
    return empty


def run(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def skopeo(source: str, target: str, *options: str) -> None:
    run("skopeo", "--insecure-policy", "copy", "-q", *options, source, target)


def diff_ids(box: Box, name: str) -> list[str]:
    found: list[str] = box.json("image", "inspect", "-f", "{{json .RootFS.Layers}}", name)
    return found


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["docker-archive", "oci"])
def test_skopeo_and_umoci_read_what_is_saved(loaded: Box, tmp_path: Path, form: str, compression: str) -> None:
    file = tmp_path / "saved"
    loaded("save", "--format", form, "--compress", compression, "-o", str(file), NAME)
    if (form, compression) == ("docker-archive", "gzip"):  # skopeo 1.9 cannot read even its own so
        file.write_bytes(gzip.decompress(file.read_bytes()))
    source = f"docker-archive:{file}:{NAME}" if form == "docker-archive" else f"oci-archive:{file}:1.0"
    skopeo(source, f"oci:{tmp_path}/layout:app")
    document = json.loads(run("skopeo", "inspect", "--config", f"oci:{tmp_path}/layout:app"))
    assert document["rootfs"]["diff_ids"] == [sha256(layer) for layer in LAYERS]
    assert document["config"] == SETTINGS
    run("umoci", "unpack", "--image", f"{tmp_path}/layout:app", tmp_path / "bundle")
    tree = tmp_path / "bundle/rootfs"
    assert sorted(path.name for path in (tree / "d").iterdir()) == ["kept"]
    assert sorted(path.name for path in (tree / "hidden").iterdir()) == ["new"]
    assert (tree / "suid").stat().st_mode & 0o7777 == 0o6755
    assert (tree / "suid").stat().st_ino == (tree / "hard").stat().st_ino
    assert (tree / "d/kept").stat().st_uid == 7
    assert (tree / "null").is_char_device()
    assert b"caf\xe9" in {bytes(path)[-4:] for path in tree.iterdir()}


@pytest.mark.parametrize("form", ["docker-archive", "oci"])
def test_a_round_trip_keeps_every_byte(loaded: Box, tmp_path: Path, form: str) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    loaded("save", "--format", form, "-o", str(first), NAME, "other:2")
    loaded("rmi", "-f", ID)
    said = loaded.out("load", "-i", str(first)).splitlines()
    assert sorted(said) == [f"Loaded image: {name}" for name in ("other:2", NAME)]
    assert loaded.out("images", "-q", "--no-trunc") == ID
    loaded("save", "--format", form, "-o", str(second), NAME, "other:2")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("target", ["docker-archive", "oci-archive", "oci"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_skopeo_writes_is_loaded(loaded: Box, tmp_path: Path, target: str, compression: str) -> None:
    loaded("save", "-o", str(tmp_path / "saved"), NAME)
    loaded("rmi", "-f", ID)
    options = ("--dest-compress-format", compression) if target == "oci" else ()
    skopeo(f"docker-archive:{tmp_path}/saved", f"{target}:{tmp_path}/out:{NAME}", *options)
    assert loaded.out("load", "-q", "-i", f"{tmp_path}/out") == f"Loaded image: {NAME}"
    assert diff_ids(loaded, NAME) == [sha256(layer) for layer in LAYERS]
    (found,) = loaded.json("image", "inspect", NAME)
    assert (found["Config"]["Env"], found["Config"]["Labels"]) == (["A=1"], {"x": "y"})


def test_what_umoci_writes_is_loaded(loaded: Box, tmp_path: Path) -> None:
    loaded("save", "-o", str(tmp_path / "saved"), NAME)
    skopeo(f"docker-archive:{tmp_path}/saved", f"oci:{tmp_path}/layout:app")
    image = ["--image", f"{tmp_path}/layout:app"]
    run("umoci", "unpack", *image, tmp_path / "bundle")
    (tmp_path / "bundle/rootfs/added").write_text("by umoci")
    (tmp_path / "bundle/rootfs/d/kept").unlink()
    run("umoci", "repack", *image, tmp_path / "bundle")
    run("umoci", "config", *image, "--config.user", "7:8", "--config.cmd", "/added")
    said = loaded.out("load", "-q", "-i", f"{tmp_path}/layout")
    image_id = said.removeprefix("Loaded image ID: ")
    (found,) = loaded.json("image", "inspect", image_id)
    assert (found["Config"]["User"], found["Config"]["Cmd"]) == ("7:8", ["/added"])
    assert diff_ids(loaded, image_id)[:2] == [sha256(layer) for layer in LAYERS]
    assert len(diff_ids(loaded, image_id)) == 3
    loaded("save", "-o", str(tmp_path / "again"), image_id)
    skopeo(f"docker-archive:{tmp_path}/again", f"oci:{tmp_path}/second:app")
    run("umoci", "unpack", "--image", f"{tmp_path}/second:app", tmp_path / "other")
    assert (tmp_path / "other/rootfs/added").read_text() == "by umoci"
    assert not (tmp_path / "other/rootfs/d/kept").exists()


def test_an_archive_holds_several_images_with_several_names(empty: Box, tmp_path: Path) -> None:
    layout = Layout()
    layout.list(layout.image([LOW]), "one:1")
    layout.list(layout.image([LOW]), "one:2")
    layout.list(layout.image([LOW, HIGH]), "two:latest")
    layout.list(layout.image([HIGH]))
    (tmp_path / "in").write_bytes(layout.tar())
    said = empty.out("load", "-q", "-i", str(tmp_path / "in")).splitlines()
    assert said[:3] == ["Loaded image: one:1", "Loaded image: one:2", "Loaded image: two:latest"]
    assert said[3] == f"Loaded image ID: {sha256(config([HIGH]))}"
    empty("save", "-o", str(tmp_path / "out"), "one", "two", sha256(config([HIGH])))
    with tarfile.open(tmp_path / "out") as archive:
        names = archive.getnames()
        file = archive.extractfile("manifest.json")
        assert file is not None
        assert [item["RepoTags"] for item in json.load(file)] == [["one:1", "one:2"], ["two:latest"], None]
    assert len(names) == len(set(names)), "a blob is saved once"
    assert len(list((empty.root / "layers").iterdir())) == 2, "a layer is kept once"


@pytest.mark.parametrize("program", ["cat", "gzip", "zstd", "xz", "bzip2"])
def test_load_from_stdin_through_a_pipe_and_a_file(empty: Box, tmp_path: Path, program: str) -> None:
    (tmp_path / "plain").write_bytes(docker_archive(LAYERS, NAME, document=DOCUMENT))
    with (tmp_path / "plain").open("rb") as plain, (tmp_path / "squeezed").open("wb") as squeezed:
        subprocess.run([program], stdin=plain, stdout=squeezed, check=True)
    with (tmp_path / "squeezed").open("rb") as stdin:
        done = subprocess.run([*ENTRY, "load", "-q"], env=empty.env, stdin=stdin, capture_output=True, check=True)
    assert done.stdout.decode() == f"Loaded image: {NAME}\n"
    empty("rmi", NAME)
    data = (tmp_path / "squeezed").read_bytes()
    subprocess.run([*ENTRY, "load", "-q"], env=empty.env, input=data, capture_output=True, check=True)
    assert empty.out("images", "-q", "--no-trunc") == ID
    assert empty.out("check") == "the store is in order"


def legacy(*, manifest: bool) -> bytes:
    """As docker 1.10 to 24 saves: a directory for each layer, an equal layer as a link to the first one's."""
    first, second, third = ("1" * 64, "2" * 64, "3" * 64)
    document = config([LOW, HIGH, LOW], SETTINGS)
    name = sha256(document)[7:] + ".json"
    members = []
    for layer, data in ((first, LOW), (second, HIGH), (third, None)):
        members += [member(f"{layer}/", type=DIRECTORY), member(f"{layer}/VERSION", b"1.0")]
        members.append(member(f"{layer}/json", as_json({"id": layer})))
        members.append(
            member(f"{layer}/layer.tar", type=LINK, linkname=f"../{first}/layer.tar")
            if data is None
            else member(f"{layer}/layer.tar", data)
        )
    members.append(member(name, document))
    if manifest:
        listed = [f"{layer}/layer.tar" for layer in (first, second, third)]
        members.append(
            member("manifest.json", as_json([{"Config": name, "RepoTags": ["a:1", "b:2"], "Layers": listed}]))
        )
    members.append(member("repositories", as_json({"a": {"1": third}, "b": {"2": third}})))
    return tar(*members)


def test_a_legacy_docker_archive_is_loaded(empty: Box, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(legacy(manifest=True))
    assert empty.out("load", "-q", "-i", str(tmp_path / "in")).splitlines() == [
        "Loaded image: a:1",
        "Loaded image: b:2",
    ]
    assert diff_ids(empty, "a:1") == [sha256(layer) for layer in (LOW, HIGH, LOW)]
    empty("save", "-o", str(tmp_path / "out"), "a:1")
    skopeo(f"docker-archive:{tmp_path}/out", f"oci:{tmp_path}/layout:app")


def test_an_archive_older_than_that_is_refused(empty: Box, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(legacy(manifest=False))
    assert "older than 1.10" in empty.fails("load", "-i", str(tmp_path / "in"))


def test_what_docker_with_containerd_writes_is_loaded(empty: Box, tmp_path: Path) -> None:
    """An index of platforms for a name, compressed layers, attestations, and manifest.json besides."""
    layout = Layout()
    here = layout.image(LAYERS, document=DOCUMENT, squeeze=True)
    other = {**layout.blob(b"{}", here["mediaType"]), "platform": {"os": "linux", "architecture": "s390x"}}
    proof = {**layout.blob(b"[]", here["mediaType"]), "platform": {"os": "unknown", "architecture": "unknown"}}
    platforms = {"schemaVersion": 2, "mediaType": INDEX}
    here = {**here, "platform": {"os": "linux", "architecture": "amd64"}}
    index = layout.blob(as_json({**platforms, "manifests": [other, proof, here]}), INDEX)
    layout.list(index, annotations={"io.containerd.image.name": f"docker.io/library/{'app'}:1"})
    (tmp_path / "oci").write_bytes(layout.tar())
    layers = ["blobs/" + sha256(gzip.compress(layer, 1)).replace(":", "/") for layer in LAYERS]
    manifest = [{"Config": "blobs/" + ID.replace(":", "/"), "RepoTags": ["app:1"], "Layers": layers}]
    layout.files["manifest.json"] = as_json(manifest)
    (tmp_path / "both").write_bytes(layout.tar())
    for name in ("oci", "both"):
        assert empty.out("load", "-q", "-i", str(tmp_path / name)) == "Loaded image: app:1"
        assert empty.out("images", "-q", "--no-trunc") == ID
        empty("rmi", "app:1")


def test_an_image_for_another_machine_is_refused(empty: Box, tmp_path: Path) -> None:
    layout = Layout()
    other = {**layout.image([LOW]), "platform": {"os": "linux", "architecture": "s390x"}}
    layout.list(layout.blob(as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other]}), INDEX))
    assert "no image for linux/" in empty.fails("load", "-i", str(layout.write(tmp_path / "layout")))


def test_a_sparse_file_comes_in_with_its_holes(empty: Box, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"middle")
    run("tar", "-C", tmp_path, "--sparse", "-cf", tmp_path / "layer", "sparse")
    layer = (tmp_path / "layer").read_bytes()
    assert len(layer) < 1 << 20
    (tmp_path / "in").write_bytes(docker_archive([layer], "sparse:1"))
    empty("load", "-q", "-i", str(tmp_path / "in"))
    (there,) = (empty.root / "layers").glob("*/diff/sparse")
    assert (there.stat().st_size, there.stat().st_blocks < 4096) == (64 << 20, True)
    empty("save", "-o", str(tmp_path / "out"), "sparse:1")
    with tarfile.open(tmp_path / "out") as archive:
        file_ = archive.extractfile("blobs/" + sha256(layer).replace(":", "/"))
        assert file_ is not None
        assert file_.read() == layer
    empty("import", str(tmp_path / "layer"), "imported:1")
    assert empty.out("check") == "the store is in order"


def test_what_comes_by_import_goes_by_save(empty: Box, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(LOW)
    empty("import", "-c", "CMD /suid", "-m", "why", str(tmp_path / "in"), "imported:1")
    empty("save", "-o", str(tmp_path / "out"), "imported:1")
    empty("rmi", "imported:1")
    assert empty.out("load", "-i", str(tmp_path / "out"), "-q") == "Loaded image: imported:1"
    skopeo(f"docker-archive:{tmp_path}/out", f"oci:{tmp_path}/layout:app")
    run("umoci", "unpack", "--image", f"{tmp_path}/layout:app", tmp_path / "bundle")
    tree = tmp_path / "bundle/rootfs"
    with tarfile.open(fileobj=io.BytesIO(LOW), errors="surrogateescape") as archive:
        assert {str(path.relative_to(tree)) for path in tree.rglob("*")} == set(archive.getnames())
