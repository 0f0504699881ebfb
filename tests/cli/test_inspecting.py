"""inspect has docker's names and shapes; docker's own document is the measure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import REDIS, WEB, Devbox

DOCKER = json.loads((Path(__file__).parents[1] / "data" / "docker-inspect.json").read_text())["container"]
FREE = {"Labels", "ExposedPorts", "Volumes", "Ports", "Networks", "PortBindings", "Data"}
"""maps with keys of the user's"""
ABSENT = {
    *(
        ".HostConfig.CpuCount",
        ".HostConfig.CpuPercent",
        ".HostConfig.IOMaximumIOps",
        ".HostConfig.IOMaximumBandwidth",
    ),
}
"""of Windows, or of no use here"""


def shapes(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each key with the type of its value; null and an empty list have the type of any."""
    if isinstance(value, dict):
        for key, item in value.items():
            below = path if path.rpartition(".")[2] in FREE else f"{path}.{key}"
            if below != path:
                yield below, "any" if item is None or item == [] else type(item).__name__
            yield from shapes(item, below)
    elif isinstance(value, list):
        for item in value:
            yield from shapes(item, path + "[]")


def test_a_container_has_docker_s_shape(devbox: Devbox) -> None:
    ours = dict(shapes(json.loads(devbox("inspect", "web").out)[0]))
    theirs = {path: kind for path, kind in shapes(DOCKER) if path not in ABSENT and "Ulimits[]" not in path}
    assert theirs.keys() - ours.keys() == {".State.Health.Log[].Start", ".State.Health.Log[].End"} | {
        ".State.Health.Log[].ExitCode",
        ".State.Health.Log[].Output",
    }
    wrong = {
        path: (kind, ours[path])
        for path, kind in theirs.items()
        if path in ours and "any" not in (kind, ours[path]) and kind != ours[path]
    }
    assert not wrong


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{{.Name}} {{.State.Status}} {{.State.Running}} {{.State.ExitCode}}", "/web running true 0"),
        ("{{.NetworkSettings.IPAddress}}", "172.17.0.2"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}/{{.IPPrefixLen}}{{end}}", "172.17.0.2/16"),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{json .NetworkSettings.Ports}}", '{"443/tcp":null,"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}]}'),
        ("{{.HostConfig.Links}} {{.Config.Cmd}}", "[/redis:/web/db] [httpd -f -p 80 81]"),
        ('{{index .Config.Labels "com.example.role"}} {{.Config.Labels.nope}}', "front <no value>"),
        ("{{.Config.Labels}}", "map[com.example.role:front tier:1]"),
        (
            "{{range .Mounts}}{{.Type}}:{{.Name}}:{{.Destination}}:{{.RW}} {{end}}",
            "volume:data:/data:true bind::/src:false ",
        ),
        ("{{.HostConfig.Binds}}", "[data:/data /home/me/src:/src:ro]"),
        ("{{.Path}} {{json .Args}}", 'httpd ["-f","-p","80 81"]'),
        ("{{if .State.Health}}{{.State.Health.Status}}{{end}}", "healthy"),
        ("{{.Config.Entrypoint}} {{json .Config.Entrypoint}}", "[] null"),
        ("{{index .HostConfig.MaskedPaths 0}} {{index .HostConfig.ReadonlyPaths 0}}", "/proc/acpi /proc/bus"),
        ("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.PidsLimit}}", "no 4096"),
        ("{{.SizeRw}}", "<nil>"),
    ],
)
def test_templates(devbox: Devbox, template: str, line: str) -> None:
    assert devbox("inspect", "-f", template, "web") == (0, line + "\n", "")


def test_no_health_check(devbox: Devbox) -> None:
    assert devbox("inspect", "-f", "{{if .State.Health}}a{{else}}b{{end}}", "redis").out == "b\n"
    assert "Health" not in json.loads(devbox("inspect", "redis").out)[0]["State"]


def test_a_stopped_container_keeps_no_address(devbox: Devbox) -> None:
    document = json.loads(devbox("inspect", "old").out)[0]
    assert document["State"]["ExitCode"] == 3
    assert document["NetworkSettings"]["Ports"] == {}
    assert document["NetworkSettings"]["Networks"]["none"]["IPAddress"] == ""


def test_several_objects_of_any_kind(devbox: Devbox) -> None:
    documents = json.loads(devbox("inspect", REDIS[:5], "busybox", "bridge", "data").out)
    assert [document.get("Name") for document in documents] == ["/redis", None, "bridge", "data"]
    assert documents[1]["RepoTags"] == ["busybox:latest"]
    assert documents[1]["Config"]["Labels"] == {"who": "me"}
    assert documents[2]["IPAM"]["Config"] == [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]
    assert {member["Name"] for member in documents[2]["Containers"].values()} == {"web", "redis"}
    assert documents[3]["Labels"] == {"a": "b"}


def test_what_is_missing_is_told_after_what_is_there(devbox: Devbox) -> None:
    printed = devbox("inspect", "web", "nosuch", "-f", "{{.Id}}")
    assert (printed.code, printed.out) == (125, WEB + "\n")
    assert printed.err.splitlines()[0] == "devbox: no such object: nosuch"
    assert json.loads(devbox("inspect", "nosuch").out) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect", "--type", "image", "web"], "no such image: web"),
        (["container", "inspect", "busybox"], "no such container: busybox"),
        (["image", "inspect", "web"], "no such image: web"),
        (["network", "inspect", "web"], "no such network: web"),
        (["volume", "inspect", "web"], "no such volume: web"),
        (["inspect", "--type", "car", "web"], "'car' is not a type of object"),
        (["inspect", "Not A Name"], "no such object: Not A Name"),
    ],
)
def test_kinds_are_kept_apart(devbox: Devbox, words: list[str], message: str) -> None:
    printed = devbox(*words)
    assert printed.code == 125
    assert message in printed.err


def test_sizes_on_request(devbox: Devbox) -> None:
    document = json.loads(devbox("inspect", "-s", "web").out)[0]
    assert (document["SizeRw"], document["SizeRootFs"]) == (0, 1982804)
