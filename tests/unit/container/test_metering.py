"""What a container uses, read from control groups of either version."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbox.container import cgroups, metering
from devbox.container.cgroups import Facts
from devbox.model.container import Container, ContainerConfig

ID = "a" * 64
CONTAINER = Container(ID, "web", 0.0, "sha256:0", "busybox", ContainerConfig(network_mode="host"))
V1 = {
    "memory": {
        "memory.usage_in_bytes": "20000000\n",
        "memory.limit_in_bytes": "268435456\n",
        "memory.stat": "cache 1\ntotal_inactive_file 4000000\n",
    },
    "cpuacct": {"cpuacct.usage": "1500000000\n"},
    "blkio": {"blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 512\n8:1 Read 4\nTotal 9\n"},
    "pids": {"pids.current": "7\n"},
}
V2 = {
    "memory.current": "20000000\n",
    "memory.max": "max\n",
    "memory.stat": "anon 1\ninactive_file 4000000\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
    "io.stat": "8:0 rbytes=4096 wbytes=512 rios=1 wios=1\n8:1 rbytes=4 wbytes=0\n",
    "pids.current": "7\n",
}


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "MOUNT", str(tmp_path))
    return tmp_path


def host(monkeypatch: pytest.MonkeyPatch, facts: Facts) -> None:
    monkeypatch.setattr(cgroups, "facts", lambda: facts)


def write(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text)


def test_version_1(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, Facts(1, frozenset(V1), swap=True, processors="0"))
    for controller, files in V1.items():
        write(mount / controller / "devbox" / ID, files)
    usage = metering.measure(CONTAINER)
    assert usage._replace(at=0.0) == metering.Usage(0.0, 1.5, 16000000, 268435456, 0, 0, 4100, 512, 7)


def test_version_2_without_a_limit(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, Facts(2, frozenset(), swap=True, processors="0"))
    write(mount / "devbox" / ID, V2)
    usage = metering.measure(CONTAINER)
    expected = metering.Usage(0.0, 1.5, 16000000, metering.machine_memory(), 0, 0, 4100, 512, 7)
    assert usage._replace(at=0.0) == expected


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_gone_is_nothing(mount: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    host(monkeypatch, Facts(2 if version == 2 else 1, frozenset(), swap=True, processors="0"))
    usage = metering.measure(CONTAINER)
    assert (usage.cpu, usage.memory, usage.processes, usage.read) == (0.0, 0, 0, 0)


def test_limits_above_the_machine_are_the_machine(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, Facts(1, frozenset(V1), swap=True, processors="0"))
    write(mount / "memory" / "devbox" / ID, {"memory.limit_in_bytes": "9223372036854771712\n"})
    assert metering.measure(CONTAINER).memory_limit == metering.machine_memory()
