"""What a kernel with pure cgroup v2 and AppArmor does for containers; the host has neither."""

from __future__ import annotations

from tests.machine.vm.conftest import Vm


def test_limits_bite(vm: Vm, image: str) -> None:
    greedy = (
        "run",
        "--name",
        "greedy",
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        image,
        "busybox",
        "tail",
        "/dev/zero",
    )
    assert vm.remote(*greedy, check=False).returncode == 137
    assert vm.remote("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "greedy").stdout == "true 137\n"
    vm.remote("rm", "greedy")
    vm.remote("check")
    script = "i=0; while [ $i -lt 12 ]; do sleep 9 & i=$((i+1)); done; echo all"
    done = vm.remote("run", "--rm", "--pids-limit", "8", image, "sh", "-c", script, check=False)
    assert "all" not in done.stdout
    assert "can't fork" in done.stderr
    script = "cat /proc/self/cgroup /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpuset.cpus.effective"
    done = vm.remote("run", "--rm", "--cpus", "0.5", "--cpuset-cpus", "1", image, "sh", "-c", script)
    assert done.stdout.split("\n")[:3] == ["0::/", "50000 100000", "1"]


def test_those_who_watch_a_container_are_not_of_the_session_that_started_it(vm: Vm, image: str) -> None:
    vm.remote("run", "-d", "--name", "watched", image, "sleep", "1000")
    script = "for pid in $(cat /sys/fs/cgroup/devbox/monitors/cgroup.procs); do cat /proc/$pid/comm; done"
    assert {"conmon", "s6-log"} <= set(vm("machine", "ssh", "sudo", "sh", "-c", script).stdout.split())
    vm.remote("rm", "-f", "watched")


def test_the_default_profile_of_apparmor_confines(vm: Vm, image: str) -> None:
    script = "cat /proc/self/attr/current; mkdir /m; busybox mount -t tmpfs x /m"
    done = vm.remote("run", "--rm", "--cap-add", "SYS_ADMIN", image, "sh", "-c", script, check=False)
    assert done.stdout == "devbox-default (enforce)\n"
    assert "mount" in done.stderr
    assert done.returncode != 0
    free = ("run", "--rm", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined")
    assert vm.remote(*free, image, "sh", "-c", script).stdout == "unconfined\n"
    refused = vm.remote("run", "--rm", "--security-opt", "apparmor=nosuch", image, "true", check=False)
    assert refused.returncode == 125
    assert "no AppArmor profile 'nosuch' is loaded" in refused.stderr
