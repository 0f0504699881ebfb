"""A machine's life, for real: each test finds the machine up, and leaves it so."""

from __future__ import annotations

import subprocess

from tests.machine.vm.conftest import Vm

ENGINE = ("crun", "conmon", "nft", "s6-log", "tini", "mmdebstrap", "python3")


def test_it_is_running_and_its_endpoint_answers(vm: Vm) -> None:
    status = vm.json("machine", "status", "vm")
    assert (status["state"], status["provider"]) == ("running", "libvirt")
    assert status["address"].startswith("127.0.0.1:")
    assert (
        vm("machine", "ssh", "-m", "vm", "--", "sudo", "printf", "%s|", "a b", "$HOME", "'").stdout
        == "a b|$HOME|'|"
    )
    assert vm("machine", "ssh", "sh", "-c", "exit 7", check=False).returncode == 7


def test_the_engines_packages_are_in_it_and_overlayfs_works(vm: Vm) -> None:
    script = f"""
        set -e
        for program in {" ".join(ENGINE)}; do command -v $program >/dev/null; done
        mkdir -p /run/t/l /run/t/u /run/t/w /run/t/m
        mount -t overlay overlay -o lowerdir=/run/t/l,upperdir=/run/t/u,workdir=/run/t/w /run/t/m
        umount /run/t/m
        busybox ip link add dbtest type bridge && busybox ip link del dbtest
        nft add table inet dbtest
        nft add chain inet dbtest c '{{ type nat hook postrouting priority srcnat; }}'
        nft add rule inet dbtest c masquerade
        nft delete table inet dbtest
        cat /sys/fs/cgroup/cgroup.controllers
    """
    found = vm("machine", "ssh", "sudo", "bash", "-c", script).stdout.split()
    assert {"memory", "pids", "cpu"} <= set(found)


def test_the_host_key_was_made_in_it_and_another_is_refused(vm: Vm) -> None:
    shown = vm("machine", "ssh", "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[:2]
    known = vm.home / ".local/share/devbox/machines/vm/known_hosts"
    pinned = known.read_text()
    assert pinned.split() == ["vm", *shown]
    try:
        known.write_text("vm ssh-ed25519 " + "A" * 68 + "\n")
        assert vm("machine", "ssh", "true", check=False).returncode == 255
    finally:
        known.write_text(pinned)


def test_plain_ssh_takes_the_configuration(vm: Vm) -> None:
    (vm.home / "ssh_config").write_text(vm("machine", "ssh-config").stdout)
    line = ["ssh", "-F", str(vm.home / "ssh_config"), "devbox-vm", "uname"]
    done = subprocess.run(line, env=vm.environment, capture_output=True, text=True, check=False, **vm.identity)
    assert (done.returncode, done.stdout) == (0, "Linux\n")


def test_a_halted_machine_is_the_same_when_it_comes_up_again(vm: Vm) -> None:
    vm("machine", "ssh", "sudo", "sh", "-c", "echo kept >/root/kept && sync")
    first = vm.json("machine", "ssh-config")
    vm("machine", "halt")
    assert vm.json("machine", "status")["state"] == "stopped"
    assert not [line for line in vm.processes().values() if "qemu-system" in line]
    assert "new size when it is started" in vm("machine", "resize", "--memory", "900m", "--disk", "5g").stdout
    result = vm.json("machine", "up")
    assert [phase["phase"] for phase in result["phases"]] == [
        "prepare",
        "box",
        "boot",
        "address",
        "host key",
        "disk",
        "shares",
    ]
    assert vm.json("machine", "ssh-config") == first
    assert vm("machine", "ssh", "sudo", "cat", "/root/kept").stdout == "kept\n"
    memory = int(vm("machine", "ssh", "awk", "/MemTotal/ {print $2}", "/proc/meminfo").stdout) >> 10
    assert 800 < memory < 900
    assert int(vm("machine", "ssh", "stat", "-fc", "%b * %S", "/").stdout.split()[0]) * 4096 > 4.5 * 2**30


def test_a_running_machine_is_left_alone_by_up(vm: Vm) -> None:
    before = vm("machine", "ssh", "cat", "/proc/sys/kernel/random/boot_id").stdout
    vm("machine", "up")
    assert vm("machine", "ssh", "cat", "/proc/sys/kernel/random/boot_id").stdout == before


def test_snapshots_and_sleep(vm: Vm) -> None:
    vm("machine", "snapshot", "save", "one")
    vm("machine", "ssh", "sudo", "touch", "/root/after")
    assert vm("machine", "snapshot", "list").stdout == "one\n"
    vm("machine", "snapshot", "restore", "one")
    assert "after" not in vm("machine", "ssh", "sudo", "ls", "/root").stdout
    vm("machine", "snapshot", "delete", "one")
    assert vm.json("machine", "snapshot", "list") == []
    vm("machine", "suspend")
    assert vm.json("machine", "status")["state"] == "suspended"
    vm("machine", "resume")
    assert vm("machine", "ssh", "echo", "hi").stdout == "hi\n"
