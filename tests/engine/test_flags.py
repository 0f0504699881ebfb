"""Flags that were once accepted without their effect, or refused too late."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.engine.conftest import Box, leftovers


def test_the_stdin_of_a_created_container_ends_with_the_one_who_starts_it(box: Box, name: str) -> None:
    box("create", "-i", "--name", name, "busybox", "sh", "-c", "cat; exit 3")
    for text in ("first\n", "second\n"):
        done = box("start", "-ai", name, input=text, check=False, timeout=20)
        assert (done.stdout, done.returncode) == (text, 3)


def test_a_uts_namespace_is_shared(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "--hostname", "shared", "busybox", "sleep", "100")
    show = ("sh", "-c", "readlink /proc/self/ns/uts; hostname; cat /etc/hostname")
    own = box.out("exec", name, *show)
    assert box.out("run", "--rm", "--uts", f"container:{name}", "busybox", *show) == own
    assert "shared\nshared" in own
    assert box.out("run", "--rm", "busybox", *show) != own


def test_events_carry_labels(box: Box, name: str) -> None:
    box("create", "--name", name, "--label", f"for={name}", "--label", "name=other", "busybox", "true")
    seen = box.out(
        "events", "--since", "1m", "--until", "0s", "--filter", f"label=for={name}",
        "--format", "{{.Action}} {{.Actor.Attributes.name}}",
    )  # fmt: skip
    assert seen == f"create {name}"


def test_bad_detach_keys_leave_no_container(box: Box) -> None:
    before = box.out("ps", "-aq")
    for mode in ("-d", "-i"):
        assert "unknown key 'bogus'" in box.fails("run", mode, "--detach-keys", "bogus", "busybox", "true")
    assert box.out("ps", "-aq") == before


def test_an_update_of_nothing_is_a_mistake(box: Box, name: str) -> None:
    box("create", "--name", name, "busybox", "true")
    assert "nothing to change" in box.fails("update", name)


def test_an_empty_cidfile_is_none(box: Box) -> None:
    box("run", "--rm", "--cidfile", "", "busybox", "true")


def test_limits_that_the_runtime_itself_needs(box: Box) -> None:
    for least, below in (("fsize=32768", "fsize=32767"), ("nofile=64", "nofile=63")):
        assert box.out("run", "--rm", "--ulimit", least, "busybox", "echo", "ok") == "ok"
        message = box.fails("run", "--rm", "--ulimit", below, "busybox", "echo", "ok")
        assert f"--ulimit {below} is too low" in message
        assert f"give {least} or more" in message
    if shutil.which("runc"):  # which does without the file
        words = ("--runtime", "runc", "--ulimit", "fsize=1024", "busybox", "sh", "-c", "ulimit -f")
        assert box.out("run", "--rm", *words) == "2"


def test_a_month_is_not_too_long(box: Box, name: str) -> None:
    words = ("--health-cmd", "true", "--health-interval", "1000h", "busybox", "sleep", "1000")
    full = box.out("run", "-d", "--name", name, *words)
    box("stop", "-t", "3000000", "-s", "KILL", name)
    box("start", name)
    time.sleep(0.5)
    assert any("internal health" in process and full in process for process in leftovers(box.root))


def test_force_does_not_mind_what_is_gone_already(box: Box, name: str) -> None:
    box("create", "--name", name, "busybox", "true")
    done = box("rm", "-f", "nosuch", name)
    assert (done.stdout, "no such container: nosuch" in done.stderr) == (f"{name}\n", True)
    assert "no such image: nosuch" in box("rmi", "-f", "nosuch").stderr
    assert "no such container: nosuch" in box.fails("rm", "nosuch")
    assert "no such image: nosuch" in box.fails("rmi", "nosuch")


def test_to_attach_at_a_start_joins_what_runs_already(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sh", "-c", "sleep 2; echo late; exit 4")
    done = box("start", "-a", name, check=False)
    assert (done.stdout, done.returncode) == ("late\n", 4)


def test_what_is_paused_is_not_said_to_be_stopped(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "100")
    box("pause", name)
    assert f"{name} is already paused" in box.fails("pause", name)
    box("unpause", name)
    assert f"{name} is not paused" in box.fails("unpause", name)
    box("kill", name)
    assert f"{name} is not running" in box.fails("pause", name)


def test_an_import_downloads_nothing(box: Box) -> None:
    assert "curl -fL URL | devbox import -" in box.fails("import", "http://127.0.0.1:1/x.tar", "x")


def test_templates_print_empty_maps_and_the_message_of_an_import(box: Box, tmp_path: Path) -> None:
    box("import", "-m", "made by hand", str(tmp_path), "by-hand")
    template = "{{.Comment}} {{.Config.Volumes}} {{len .Config.Volumes}} {{json .Config.Volumes}}"
    template += " {{.Config.ExposedPorts}}"
    assert box.out("inspect", "-f", template, "by-hand") == "made by hand map[] 0 null map[]"
    assert "ExposedPorts" not in box.out("inspect", "by-hand")
    box("rmi", "by-hand")


def test_templates_may_count_what_a_container_does_not_have(box: Box, name: str) -> None:
    box("create", "--name", name, "busybox", "true")
    template = "{{len .HostConfig.Tmpfs}}{{range .HostConfig.Sysctls}}x{{end}}{{len .HostConfig.Mounts}}"
    template += "{{.HostConfig.Tmpfs}}"
    assert box.out("inspect", "-f", template, name) == "00map[]"
    assert "Tmpfs" not in box.json("inspect", name)[0]["HostConfig"]


def test_rm_link_removes_a_link_and_no_container(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "100")
    consumer = f"{name}-user"
    try:
        box("run", "-d", "--name", consumer, "--link", f"{name}:db", "busybox", "sleep", "100")
        assert "write it as CONTAINER/ALIAS" in box.fails("rm", "-f", "--link", consumer)
        assert box.out("rm", "--link", f"/{consumer}/db") == f"/{consumer}/db"
        assert box.json("inspect", "-f", "{{json .HostConfig.Links}}", consumer) is None
        assert box.out("exec", consumer, "grep", "-cw", "db", "/etc/hosts", check=False) == "0"
        assert "no link db" in box.fails("rm", "--link", f"{consumer}/db")
    finally:
        box("rm", "-f", consumer)


def test_a_restart_asks_by_the_signal_that_was_given(box: Box, name: str) -> None:
    script = "trap 'echo hup; exit' HUP; echo up; while :; do sleep 0.1; done"
    box("run", "-d", "--name", name, "busybox", "sh", "-c", script)
    while "up" not in box.out("logs", name):
        time.sleep(0.05)
    box("restart", "-s", "HUP", "-t", "20", name)
    assert box.out("logs", name).splitlines()[:2] == ["up", "hup"]
