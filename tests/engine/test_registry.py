"""Images that go to a registry and come back: Debian's docker-registry, skopeo and podman at the other end."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import Box
from tests.engine.image_archives import DIRECTORY, LINK, Layout, config, member, sha256, tar
from tests.engine.registries import Registry, registry

LOW = tar(member("bin", type=DIRECTORY), member("bin/tool", b"#!/x\n" * 3000, mode=0o4755), member("gone", b"g"))
HIGH = tar(member(".wh.gone"), member("link", type=LINK, linkname="bin/tool"), member("text", b"above" * 2000))
CREATED = "2024-01-01T00:00:00Z"
DOCUMENT = config([LOW, HIGH], {"Cmd": ["/bin/tool"]}, created=CREATED)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A box that has the image app:1."""
    box = Box(tmp_path_factory.mktemp("sender") / "root")
    load(box, "app:1", LOW, HIGH, document=DOCUMENT)
    yield box
    box.close()


def load(box: Box, name: str, *layers: bytes, document: bytes) -> None:
    layout = Layout()
    layout.list(layout.image(layers, document=document), name)
    box("load", "-q", "-i", str(layout.write(box.root.parent / sha256(document)[7:19])))


def skopeo(*words: str) -> str:
    return subprocess.run(("skopeo", *words), check=True, capture_output=True, text=True, timeout=60).stdout


def push(box: Box, there: Registry, name: str, *words: str, source: str = "app:1") -> str:
    """Push an image under a name there; the full name."""
    full = f"{there.host}/{name}"
    box("tag", source, full)
    box("push", *words, full)
    return full


def digest(box: Box, name: str) -> str:
    repository = name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
    known = box.json("image", "inspect", name)[0]["RepoDigests"]
    return next(str(each).partition("@")[2] for each in known if each.startswith(repository + "@"))


def image_id(box: Box, name: str) -> str:
    return box.out("image", "inspect", "-f", "{{.Id}}", name)


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_an_image_comes_back_as_it_went(sender: Box, fresh_box: Box, there: Registry, method: str) -> None:
    name = push(sender, there, f"round/{method}:1", "--compression-format", method)
    lines = fresh_box.out("pull", name).splitlines()
    assert lines[0] == f"1: Pulling from {name[:-2]}"
    assert sum(line.endswith(": Pull complete") for line in lines) == 2
    assert lines[-3:] == [
        f"Digest: {digest(sender, name)}",
        f"Status: Downloaded newer image for {name}",
        name,
    ]
    assert image_id(fresh_box, name) == sha256(DOCUMENT)
    assert digest(fresh_box, name) == digest(sender, name)
    assert fresh_box.out("check") == "the store is in order"
    archives = [box("save", name).stdout for box in (sender, fresh_box)]
    assert archives[0] == archives[1]
    assert fresh_box.out("pull", "-q", name) == name
    assert f"Status: Image is up to date for {name}" in fresh_box.out("pull", name)
    described = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
    assert {layer["mediaType"].rpartition("+")[2] for layer in described["layers"]} == {method}


def test_podman_and_skopeo_read_what_was_pushed(sender: Box, there: Registry, tmp_path: Path) -> None:
    name = push(sender, there, "theirs/app:1")
    skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/layout:x")
    with tempfile.TemporaryDirectory(prefix="podman", dir="/tmp") as place:  # its paths must be short
        podman = ("unshare", "-m", "podman", "--root", f"{place}/a", "--runroot", f"{place}/b")
        for words in (
            ("pull", "-q", "--tls-verify=false"),
            ("image", "inspect", "--format", "{{.Id}} {{.Digest}}"),
        ):
            command = (*podman, "--storage-driver", "vfs", *words, name)
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [sha256(DOCUMENT)[7:], digest(sender, name)]


@pytest.mark.parametrize(("form", "method"), [("oci", "gzip"), ("oci", "zstd"), ("v2s2", "gzip")])
def test_what_skopeo_pushed_is_read(
    fresh_box: Box, there: Registry, tmp_path: Path, form: str, method: str
) -> None:
    layout = Layout()
    layout.list(layout.image([LOW, HIGH], document=DOCUMENT), "app")
    source = layout.write(tmp_path / "layout")
    name = f"{there.host}/skopeo/{form}-{method}:1"
    options = ("--dest-tls-verify=false", "--format", form, "--dest-compress-format", method)
    skopeo("copy", *options, f"oci:{source}:app", f"docker://{name}")
    fresh_box("pull", "-q", name)
    inspected = fresh_box.json("image", "inspect", name)[0]
    assert inspected["RootFS"]["Layers"] == [sha256(LOW), sha256(HIGH)]
    assert inspected["Config"]["Cmd"] == ["/bin/tool"]
    by_digest = inspected["RepoDigests"][0]
    fresh_box("rmi", name)
    assert fresh_box.out("pull", "-q", by_digest) == by_digest
    assert image_id(fresh_box, by_digest) == inspected["Id"]
    assert fresh_box.out("images", "--format", "{{.Tag}}") == "<none>"


def test_a_layer_that_is_there_already_does_not_travel(sender: Box, fresh_box: Box, there: Registry) -> None:
    load(fresh_box, "base:1", LOW, document=config([LOW], created=CREATED))
    first = push(sender, there, "travel/one:1")
    there.forget_requests()
    assert sender("push", first).stdout.count("Layer already exists") == 2
    assert not there.requests("PATCH ")
    again = f"{there.host}/travel/two:1"
    sender("tag", "app:1", again)
    assert sender("push", again).stdout.count("Mounted from travel/one") == 2
    assert len(there.requests("PATCH ")) == 1, "the config"

    there.forget_requests()
    lines = fresh_box.out("pull", again).splitlines()
    assert [line.partition(": ")[2] for line in lines].count("Already exists") == 1
    fetched = [path for path in there.requests("GET ") if "/blobs/" in path]
    assert len(fetched) == 2, "the config and the layer that was missing"


def test_a_layer_that_changed_on_the_disk_is_not_pushed(fresh_box: Box, there: Registry) -> None:
    load(fresh_box, "app:1", LOW, document=config([LOW], created=CREATED))
    (fresh_box.root / "layers/1/diff/bin/tool").write_bytes(b"#!/y\n" * 3000)
    fresh_box("tag", "app:1", f"{there.host}/altered:1")
    assert "was altered on disk" in fresh_box.fails("push", f"{there.host}/altered:1")
    assert not there.requests("PUT /v2/altered/manifests")


def test_all_tags_go_and_come(sender: Box, fresh_box: Box, there: Registry) -> None:
    for tag in ("1", "2"):
        sender("tag", "app:1", f"{there.host}/many:{tag}")
    sender("push", "-a", f"{there.host}/many")
    fresh_box("pull", "-q", "-a", f"{there.host}/many")
    assert sorted(fresh_box.out("images", "--format", "{{.Tag}}", f"{there.host}/many").split()) == ["1", "2"]
    reasons = fresh_box.out("image", "log", "--format", "{{.Reason}}", f"{there.host}/many:1")
    assert reasons == "pull"


def test_a_list_of_platforms(sender: Box, fresh_box: Box, there: Registry) -> None:
    arm = config([LOW], created=CREATED, architecture="arm64", variant="v8")
    load(sender, "arm:1", LOW, document=arm)
    amd = push(sender, there, "multi/amd:1")
    other = push(sender, there, "multi/arm:1", source="arm:1")
    name = f"{there.host}/multi/all:1"
    assert sender.out("manifest", "create", name, amd) == f"Created manifest list {name}"
    assert "there is a manifest list" in sender.fails("manifest", "create", name, other)
    sender("manifest", "create", "--amend", name, other)
    sender("manifest", "annotate", "--os-version", "12", name, other)
    listed = sender.json("manifest", "inspect", name)["manifests"]
    assert [each["platform"]["architecture"] for each in listed] == ["amd64", "arm64"]
    assert listed[1]["platform"] == {"architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "12"}
    pushed = sender.out("manifest", "push", "-p", name)
    assert "no such manifest list" in sender.fails("manifest", "rm", name)
    assert skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{name}").strip() == pushed
    assert len(sender.json("manifest", "inspect", "-v", name)) == 2

    fresh_box("pull", "-q", name)
    assert image_id(fresh_box, name) == sha256(DOCUMENT)
    assert digest(fresh_box, name) == pushed
    fresh_box("pull", "-q", "--platform", "linux/arm64", name)
    assert image_id(fresh_box, name) == sha256(arm)
    error = fresh_box.fails("pull", "--platform", "linux/s390x", name)
    assert "has no image for linux/s390x" in error
    assert "linux/amd64, linux/arm64/v8" in error


def test_a_registry_is_asked_about_an_image_without_fetching_it(sender: Box, there: Registry) -> None:
    name = push(sender, there, "asked/app:1")
    there.forget_requests()
    document = sender.json("image", "inspect", "--remote", name)[0]
    assert document["Id"] == sha256(DOCUMENT)
    assert document["RepoDigests"] == [f"{name[:-2]}@{digest(sender, name)}"]
    assert document["Config"]["Cmd"] == ["/bin/tool"]
    assert len(document["Layers"]) == 2
    assert len(there.requests("GET /v2/asked/app/blobs")) == 1
    assert "invalid --filter stars 'many'" in sender.fails("search", "-f", "stars=many", f"{there.host}/asked")
    found = sender.out("search", "--format", "{{.Name}}", f"{there.host}/asked")
    assert found == f"{there.host}/asked/app"


class TestRun:
    """run of an image that is not here."""

    @pytest.fixture
    def name(self, box: Box, there: Registry) -> str:
        return push(box, there, "run/box:1", source="busybox")

    def test_it_is_pulled_once(self, fresh_box: Box, name: str) -> None:
        done = fresh_box("run", "--rm", name, "echo", "hello")
        assert done.stdout == "hello\n"
        assert f"Unable to find image '{name}' locally" in done.stderr
        assert "Pull complete" in done.stderr
        assert fresh_box("run", "--rm", name, "true").stderr == ""
        assert f"Unable to find image '{name[:-2]}:2' locally" in fresh_box.fails("run", f"{name[:-2]}:2")

    def test_never_and_always(self, box: Box, fresh_box: Box, there: Registry, name: str) -> None:
        assert "no such image" in fresh_box.fails("run", "--pull", "never", name, "true")
        fresh_box("create", "-q", name, "true")
        there.forget_requests()
        fresh_box("create", "-q", name, "true")
        assert not there.requests("GET")
        fresh_box("create", "--pull", "always", "-q", name, "true")
        assert there.requests("GET /v2/run/box/manifests/1")
        assert "has no image for" in fresh_box.fails("run", "--platform", "linux/s390x", name, "true")


def registries(place: Path, *tables: dict[str, Any]) -> dict[str, str]:
    """The environment with a registries.conf of these tables."""
    lines = []
    for table in tables:
        lines += ["[[registry]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items() if key != "mirror"]
        for mirror in table.get("mirror", ()):
            lines += ["[[registry.mirror]]", *(f"{key} = {json.dumps(value)}" for key, value in mirror.items())]
    (place / "registries.conf").write_text("\n".join(lines))
    return {"CONTAINERS_REGISTRIES_CONF": str(place / "registries.conf")}


def test_a_short_name_comes_from_a_mirror_of_docker_hub(
    sender: Box, fresh_box: Box, there: Registry, tmp_path: Path
) -> None:
    push(sender, there, "hub/library/app:1")
    mirrors = [{"location": f"{there.host}/nothing"}, {"location": f"{there.host}/hub", "insecure": True}]
    env = registries(tmp_path, {"prefix": "docker.io", "location": "docker.io", "mirror": mirrors})
    assert fresh_box.out("pull", "-q", "app:1", env=env) == "docker.io/library/app:1"
    assert fresh_box.out("images", "--format", "{{.Repository}}:{{.Tag}}") == "app:1"


def test_two_pulls_at_once_fetch_once(sender: Box, fresh_box: Box, there: Registry) -> None:
    name = push(sender, there, "twice/app:1")
    fresh_box("images")
    there.forget_requests()
    pulls = [fresh_box.popen("pull", "-q", name, stdout=subprocess.PIPE) for _ in range(2)]
    assert [pull.communicate(timeout=60)[0].decode().strip() for pull in pulls] == [name, name]
    layers = there.requests("GET /v2/twice/app/blobs")
    assert len(layers) == 4, "both read the config, one fetched the layers"
    assert os.listdir(fresh_box.root / "tmp") == []
