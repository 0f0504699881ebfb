"""What listings say of containers that really run."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.engine.conftest import Box


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_stats_measure_memory_processor_and_processes(box: Box, name: str) -> None:
    burn = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); while :; do :; done"
    box("run", "-d", "--name", name, "-m", "256m", "busybox", "sh", "-c", burn)
    try:
        until(lambda: "MiB / 256MiB" in box.out("stats", "--no-stream", "--format", "{{.MemUsage}}", name))
        row = box.json("stats", "--no-stream", "--format", "json", name)
        assert float(row["CPUPerc"].rstrip("%")) > 2  # of a machine that may be busy
        assert 5 < float(row["MemPerc"].rstrip("%")) < 100
        assert row["PIDs"] == "1"
        assert row["Name"] == name
        assert box.out("stats", "--no-stream", "--format", "{{.Container}}", name) == name
        short = row["ID"][:4]
        assert box.out("stats", "--no-stream", "--format", "{{.Container}}", short) == short
        assert row["ID"] in box.out("stats", "--no-stream", "--format", "{{.Container}}")
    finally:
        box("rm", "-f", name)
    assert box("stats", "--no-stream", name, check=False).returncode == 125


def test_stats_redraw_a_terminal_until_interrupted(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "60")
    master, slave = pty.openpty()
    try:
        child = box.popen("stats", stdin=slave, stdout=slave, stderr=subprocess.DEVNULL)
        shown = b""
        while shown.count(b"\x1b[2J") < 3:
            shown += os.read(master, 65536)
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
        assert name.encode() in shown
    finally:
        os.close(slave)
        os.close(master)
        box("rm", "-f", name)


def test_events_are_told_as_they_happen(box: Box, name: str) -> None:
    with box.popen("events", "--format", "{{.Type}} {{.Action}}", stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        time.sleep(0.5)
        box("run", "--name", name, "busybox", "true")
        box("rm", name)
        told = [follower.stdout.readline().decode().strip() for _ in range(7)]
        follower.kill()
    assert told == [
        *("container create", "network connect", "container attach", "container start"),
        *("container die", "network disconnect", "container destroy"),
    ]


def test_volumes_and_further_processes_are_events(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "-v", f"{name}:/data:ro", "busybox", "sleep", "1000")
    assert box("exec", name, "sh", "-c", "exit 3", check=False).returncode == 3
    box("exec", "-d", name, "true")
    assert "events" not in box.fails("exec", name, "nosuch", code=127)
    box("stop", "-t", "0", name)
    full = box.out("inspect", "-f", "{{.Id}}", name)
    box("rm", name)
    box("volume", "rm", name)
    shown = box.out("events", "--since", "1m", "--until", "0s", "--format", "json").splitlines()
    seen = [event for event in map(json.loads, shown) if event["Actor"]["ID"] in (full, name)]
    exec_ = ["exec_create", "exec_start"]
    assert [event["Action"].partition(":")[0] for event in seen] == [
        *("create", "create", "mount", "start", *exec_, "exec_die", *exec_),
        *("die", "unmount", "stop", "destroy", "destroy"),
    ]
    first, last = seen[4]["Actor"]["Attributes"], seen[6]["Actor"]["Attributes"]
    assert seen[4]["Action"] == "exec_create: sh -c exit 3"
    assert first["execID"] == last["execID"] != seen[7]["Actor"]["Attributes"]["execID"]
    assert last["exitCode"] == "3"
    mount = {
        "container": full,
        "destination": "/data",
        "driver": "local",
        "propagation": "",
        "read/write": "false",
    }
    assert seen[2]["Actor"]["Attributes"] == mount


def test_an_exec_needs_no_room_for_its_events(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "1000")
    with sqlite3.connect(box.root / "state.db") as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END")
    try:
        assert box("exec", name, "echo", "there").stdout == "there\n"
    finally:
        with sqlite3.connect(box.root / "state.db") as db:
            db.execute("DROP TRIGGER full")
        db.close()


def test_ps_and_inspect_agree_on_a_running_container(box: Box, name: str) -> None:
    options = ("--label", f"test={name}", "--expose", "81", "-p", "127.0.0.1::80")
    box("run", "-d", "--name", name, *options, "busybox", "sleep", "60")
    try:
        document = box.json("inspect", name)[0]
        port = document["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
        row = json.loads(box.out("ps", "--filter", f"label=test={name}", "--format", "json"))
        assert row["Ports"] == f"81/tcp, 127.0.0.1:{port}->80/tcp"
        assert row["ID"] == document["Id"][:12]
        assert row["State"] == document["State"]["Status"] == "running"
        with open(f"/proc/{document['State']['Pid']}/cmdline", "rb") as file:
            assert file.read() == b"sleep\0" + b"60\0"
        assert box.out("port", name, "80") == f"127.0.0.1:{port}"
    finally:
        box("rm", "-f", name)


def test_size_counts_what_was_written(box: Box, name: str) -> None:
    box("run", "--name", name, "busybox", "sh", "-c", "head -c 1234567 /dev/zero > /x")
    try:
        size = box.out("ps", "-a", "-s", "--filter", f"name={name}", "--format", "{{.Size}}")
        assert size.startswith("1.23MB (virtual ")
        document = box.json("inspect", "-s", name)[0]
        assert document["SizeRw"] == 1234567
        assert document["SizeRootFs"] > 1234567
    finally:
        box("rm", name)


def test_container_prune_spares_what_runs_and_what_is_not_meant(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "--label", f"t={name}", "busybox", "sleep", "60")
    box("run", "--name", name + "-old", "--label", f"t={name}", "busybox", "true")
    box("run", "--name", name + "-other", "busybox", "true")
    try:
        mine = ("container", "prune", "-f", "--filter", f"label=t={name}")
        assert "Deleted" not in box.out(*mine, "--filter", "until=1h")
        printed = box.out(*mine)
        assert printed.startswith("Deleted Containers:\n")
        assert printed.endswith("Total reclaimed space: 0B")
        names = box.out("ps", "-a", "--filter", f"name={name}", "--format", "{{.Names}}").splitlines()
        assert sorted(names) == [name, name + "-other"]
    finally:
        box("rm", "-f", name, name + "-other")


def test_nothing_is_left_after_a_reset(fresh_box: Box, name: str) -> None:
    fresh_box("run", "-d", "--name", name, "-v", "data:/d", "-p", "0:80", "busybox", "sleep", "60", check=False)
    fresh_box("network", "create", "net-" + name)
    fresh_box("volume", "create", "vol", check=False)
    fresh_box("system", "reset", "--force")
    assert fresh_box.out("ps", "-aq") == ""
    assert fresh_box.out("network", "ls", "-q", "--filter", "type=custom") == ""
    assert fresh_box.out("info", "-f", "{{.Containers}} {{.Images}}") == "0 0"
    assert not os.listdir(fresh_box.root / "volumes")
    assert not os.listdir(fresh_box.root / "layers")


def test_check_finds_nothing_wrong_with_a_running_container(fresh_box: Box) -> None:
    assert fresh_box.out("check") == "the store is in order"


def test_a_read_only_store_is_told(tmp_path: Path) -> None:
    devbox = f"{sys.executable} -m devbox"
    script = (
        f"mount --make-rprivate / && mount --bind {tmp_path} {tmp_path} && {devbox} ps -q"
        f" && mount -o remount,ro,bind {tmp_path} && exec {devbox} volume create data"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env={**os.environ, "DEVBOX_ROOT": str(tmp_path / "root")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 125
    assert "read-only" in done.stderr.splitlines()[0]
    assert len(done.stderr.splitlines()) == 2


def test_system_prune_takes_what_nothing_uses(fresh_box: Box) -> None:
    fresh_box("bootstrap", "busybox")
    fresh_box("tag", "busybox", "unused:1")
    fresh_box("run", "-d", "--name", "keep", "-v", "named:/d", "busybox", "sleep", "60")
    fresh_box("run", "-v", "/anonymous", "busybox", "true")
    fresh_box("network", "create", "idle")
    printed = fresh_box.out("system", "prune", "-f", "-a", "--volumes")
    assert [line for line in printed.splitlines() if line.startswith("Deleted ")] == [
        "Deleted Containers:",
        "Deleted Networks:",
        "Deleted Volumes:",
    ]
    assert fresh_box.out("ps", "-a", "--format", "{{.Names}}") == "keep"
    assert fresh_box.out("volume", "ls", "-q") == "named"
    assert "busybox" in fresh_box.out("images", "--format", "{{.Repository}}")
    fresh_box("rm", "-f", "keep")
    printed = fresh_box.out("system", "prune", "-f", "-a")
    assert "Deleted Images:" in printed
    assert printed.splitlines()[-1].endswith("MB")
    assert fresh_box.out("images", "-q") == ""
