"""What a container gets and does not get, as its own process sees it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devbox.container import cgroups
from devbox.container.spec import rootfs, seccomp_cache, surroundings
from devbox.errors import (
    CommandNotFoundError,
    NotExecutableError,
    NotFoundError,
    RefusedError,
    StateError,
)
from devbox.model.container import Device, Resources, Ulimit
from devbox.model.mount import Mount
from devbox.system import procfs
from devbox.system.syscalls import MS_PRIVATE, MS_SHARED, mount

Lab = Any
V1 = cgroups.facts().version == 1
CGROUP = "/sys/fs/cgroup"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of the host that propagates, with two directories."""
    place = tmp_path / "shared"
    place.mkdir()
    mount("tmpfs", str(place), "tmpfs")
    mount("", str(place), "", MS_SHARED)
    (place / "inside").mkdir()
    (place / "late").mkdir()
    yield place
    subprocess.run(["umount", "--recursive", place], check=True)


class TestProcess:
    def test_who_and_where(self, lab: Lab) -> None:
        done = lab.sh("id; pwd; echo $HOME; hostname; umask", working_dir="/srv/app", user="web", hostname="web1")
        assert done == (
            0,
            "uid=1000(web) gid=1000(web) groups=10(wheel),1000(web)\n/srv/app\n/home/web\nweb1\n0022\n",
            "",
        )

    def test_numbers_without_an_entry(self, lab: Lab) -> None:
        assert lab.sh("id; echo $HOME", user="4242:77").out == "uid=4242 gid=77 groups=77\n/\n"

    def test_capabilities(self, lab: Lab) -> None:
        out = lab.sh("grep -E '^Cap|NoNew' /proc/self/status").out
        assert out.split()[1::2] == [
            "0" * 16,
            "00000000a80425fb",
            "00000000a80425fb",
            "00000000a80425fb",
            "0" * 16,
            "0",
        ]

    def test_a_user_has_no_capability(self, lab: Lab) -> None:
        assert lab.sh("grep -E '^Cap(Prm|Eff)' /proc/self/status", user="web").out.split()[1::2] == ["0" * 16] * 2

    def test_no_new_privileges(self, lab: Lab) -> None:
        out = lab.sh("grep NoNew /proc/self/status", security_opt=("no-new-privileges",)).out
        assert out.split() == ["NoNewPrivs:", "1"]

    def test_limits_of_a_process(self, lab: Lab) -> None:
        limits = (Ulimit("nofile", 100, 200), Ulimit("nproc", 50, 60))
        assert lab.sh("ulimit -n; ulimit -Hn; ulimit -u", ulimits=limits).out == "100\n200\n50\n"

    def test_only_three_descriptors(self, lab: Lab) -> None:
        assert lab.sh("ls /proc/self/fd").out.split() == ["0", "1", "2", "3"], "3 is of ls itself"

    def test_an_init_reaps(self, lab: Lab) -> None:
        out = lab.sh(
            "(true &); sleep 0.2; cat /proc/1/comm; grep -h ^State /proc/[0-9]*/status | grep -c Z", init=True
        ).out
        assert out.split() == ["docker-init", "0"]


class TestFiles:
    def test_ours_are_mounted(self, lab: Lab) -> None:
        assert (
            lab.sh("cat /etc/hosts /etc/hostname /etc/resolv.conf").out
            == "our hosts\nour hostname\nour resolv.conf\n"
        )

    def test_the_kernels_are_read_only_or_hidden(self, lab: Lab) -> None:
        script = """
            echo x > /proc/sys/kernel/hostname
            echo x > /proc/sysrq-trigger
            mkdir /sys/fs/cgroup/*/sub /sys/fs/cgroup/sub && echo made
            cat /proc/kcore /proc/keys /proc/timer_list | wc -c
            ls /sys/firmware /proc/acpi | grep -v :
        """
        assert lab.sh(script).out.split() == ["0"]

    def test_a_read_only_root(self, lab: Lab) -> None:
        mounts = (Mount("tmpfs", "/own", tmpfs_size=1 << 20, tmpfs_mode=0o700),)
        done = lab.sh(
            "touch /x; echo > /etc/hosts; touch /own/x /dev/shm/x && stat -c %a /own",
            read_only=True,
            mounts=mounts,
        )
        assert done.out == "700\n"
        assert done.err.count("Read-only file system") == 2

    def test_tmpfs_is_limited(self, lab: Lab) -> None:
        mounts = (Mount("tmpfs", "/t", tmpfs_size=1 << 20),)
        done = lab.sh(
            "head -c 2m /dev/zero > /t/x; head -c 2m /dev/zero > /dev/shm/x; stat -c %s /t/x /dev/shm/x",
            mounts=mounts,
            shm_size=1 << 20,
        )
        assert done.out == f"{1 << 20}\n" * 2

    def test_tmpfs_options_over_the_defaults(self, lab: Lab) -> None:
        mounts = (Mount("tmpfs", "/a"), Mount("tmpfs", "/b", tmpfs_options=("exec", "suid")))
        lines = lab.sh("grep -E ' /(a|b) ' /proc/mounts", mounts=mounts).out.splitlines()
        assert "nosuid,nodev,noexec" in lines[0]
        assert "noexec" not in lines[1]
        assert "nosuid" not in lines[1]
        assert "nodev" in lines[1]

    def test_bind_mounts(self, lab: Lab, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "file").write_text("host")
        mounts = (
            Mount("bind", "/rw", str(tmp_path / "a")),
            Mount("bind", "/rw/deep/er", str(tmp_path), read_only=True),
            Mount("bind", "/one/file", str(tmp_path / "file"), read_only=True),
        )
        done = lab.sh(
            "echo hello > /rw/x; cat /one/file; touch /rw/deep/er/no; ls /rw/deep/er/file", mounts=mounts
        )
        assert done.out == "host/rw/deep/er/file\n"
        assert "Read-only" in done.err
        assert (tmp_path / "a/x").read_text() == "hello\n"

    def test_read_only_is_what_lies_below_it_too(self, lab: Lab, shared: Path) -> None:
        mount("tmpfs", str(shared / "inside"), "tmpfs")
        mounts = (Mount("bind", "/v", str(shared), read_only=True),)
        assert lab.sh("touch /v/x; touch /v/inside/x", mounts=mounts).err.count("Read-only") == 2

    @pytest.mark.parametrize(
        ("propagation", "out", "arrives"),
        [("shared", True, True), ("rshared", True, True), ("rslave", False, True), ("", False, False)],
    )
    def test_propagation(self, lab: Lab, shared: Path, propagation: Any, out: bool, arrives: bool) -> None:
        mounts = (Mount("bind", "/v", str(shared), propagation=propagation),)
        container = lab.start(lab.container("sleep", "60", privileged=True, mounts=mounts))
        lab.exec(container, "mount -t tmpfs x /v/inside && touch /v/inside/x")
        assert (shared / "inside/x").exists() is out
        mount("tmpfs", str(shared / "late"), "tmpfs")
        (shared / "late/y").touch()
        assert lab.exec(container, "ls /v/late").split() == ["y"] * arrives

    def test_propagation_of_what_is_not_shared(self, lab: Lab, shared: Path) -> None:
        mount("", str(shared), "", MS_PRIVATE)
        with pytest.raises(StateError, match="is not on a shared mount"):
            lab.sh("true", mounts=(Mount("bind", "/v", str(shared), propagation="shared"),))

    def test_v_makes_its_source(self, lab: Lab, tmp_path: Path) -> None:
        lab.sh("touch /x/y", mounts=(Mount("bind", "/x", str(tmp_path / "new/dir"), create_source=True),))
        assert (tmp_path / "new/dir/y").exists()

    def test_devices(self, lab: Lab) -> None:
        assert lab.sh("ls /dev").out.split() == sorted(
            {"fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
             "urandom", "zero"} | ({"core"} if lab.runtime == "crun" else set())
        )  # fmt: skip

    def test_a_device_of_the_host(self, lab: Lab) -> None:
        device = Device("/dev/zero", "/dev/nothing", "r")
        done = lab.sh("head -c 3 /dev/nothing | wc -c; stat -c %t:%T /dev/nothing", devices=(device,))
        assert done.out == "3\n1:5\n"

    def test_no_other_device_opens(self, lab: Lab) -> None:
        done = lab.sh("mknod /dev/kmsg c 1 11 && cat /dev/kmsg")
        assert "Operation not permitted" in done.err


class TestSeccomp:
    def errno(self, lab: Lab, number: int, *arguments: int, **config: Any) -> int:
        """What a system call answers that a program of our own makes."""
        code = f"int main(void){{long r=syscall({','.join(map(str, (number, *arguments)))});return r<0?errno:0;}}"
        source = "#include <unistd.h>\n#include <errno.h>\n#include <sys/syscall.h>\n" + code
        container = lab.container("/probe", **config)
        target = lab.rootfs(container) + "/probe"
        subprocess.run(["gcc", "-static", "-x", "c", "-", "-o", target], input=source, text=True, check=True)
        return int(lab.run(container).status)

    @pytest.mark.skipif(not os.path.exists("/usr/bin/gcc"), reason="there is no compiler")
    def test_verdicts(self, lab: Lab) -> None:
        assert self.errno(lab, 272, 0) == 1, "unshare of nothing is harmless, but docker refuses it"
        assert self.errno(lab, 250, 0, 0) == 1, "keyctl"
        assert self.errno(lab, 9999) == 38
        assert self.errno(lab, 435, 0, 0) == 38, "clone3"
        assert self.errno(lab, 41, 40, 1, 0) == 1, "AF_VSOCK"
        assert self.errno(lab, 39) == 0, "getpid"

    @pytest.mark.parametrize("script", ["unshare -U true", "unshare -m true", "mount -t tmpfs x /tmp"])
    def test_no_namespaces_and_mounts(self, lab: Lab, script: str) -> None:
        assert lab.sh(script).status != 0

    def test_a_filter_that_was_kept_does_the_same(self, lab: Lab) -> None:
        if lab.runtime != "crun":
            pytest.skip("runc compiles its own")
        first = lab.start(lab.container("sleep", "60"))
        seccomp_cache.keep(lab.root, first.id)
        second = lab.start(lab.container("sleep", "60"))
        annotation = json.loads(Path(lab.root.bundle(second.id), "config.json").read_text())["annotations"]
        assert annotation.keys() == {seccomp_cache.ANNOTATION}
        filters = [Path(lab.root.crun, one.id, "seccomp.bpf").read_bytes() for one in (first, second)]
        assert filters[0] == filters[1] != b""
        for container in (first, second):
            assert lab.exec(container, "grep Seccomp: /proc/1/status /proc/self/status").split()[1::2] == [
                "2",
                "2",
            ]
            assert lab.exec(container, "unshare -U true 2>/dev/null || echo refused") == "refused\n"

    def test_a_damaged_filter_is_not_used(self, lab: Lab) -> None:
        if lab.runtime != "crun":
            pytest.skip("runc compiles its own")
        seccomp_cache.keep(lab.root, lab.start(lab.container("sleep", "60")).id)
        (kept,) = Path(lab.root.run, "seccomp").iterdir()
        for damaged in (b"", kept.read_bytes()[:-8], kept.read_bytes()[:-1] + b"x"):
            kept.write_bytes(damaged)
            assert "not permitted" in lab.sh("unshare -U true").err

    def test_unconfined(self, lab: Lab) -> None:
        done = lab.sh("unshare -U true && grep Seccomp: /proc/self/status", security_opt=("seccomp=unconfined",))
        assert done.out.split() == ["Seccomp:", "0"]

    def test_an_own_profile(self, lab: Lab) -> None:
        profile = (
            '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],'
            '"action":"SCMP_ACT_ERRNO","errnoRet":95}]}'
        )
        done = lab.sh("mkdir /tmp/x; unshare -U true && echo made", security_opt=(f"seccomp={profile}",))
        assert done.out == "made\n"
        assert "not supported" in done.err

    def test_privileged(self, lab: Lab) -> None:
        done = lab.sh("mount -t tmpfs x /tmp && echo mounted; [ -e /dev/kmsg ] && echo kmsg", privileged=True)
        assert "mounted" in done.out


class TestNamespaces:
    def test_of_the_host(self, lab: Lab) -> None:
        done = lab.sh(
            "for n in ipc net pid uts; do readlink /proc/self/ns/$n; done",
            network_mode="host", pid_mode="host", ipc_mode="host", uts_mode="host",
        )  # fmt: skip
        assert done.out.split() == [os.readlink(f"/proc/self/ns/{name}") for name in ("ipc", "net", "pid", "uts")]

    def test_its_own(self, lab: Lab) -> None:
        done = lab.sh("for n in ipc net pid uts mnt; do readlink /proc/self/ns/$n; done")
        own = {os.readlink(f"/proc/self/ns/{name}") for name in ("ipc", "net", "pid", "uts", "mnt")}
        assert len(set(done.out.split())) == 5
        assert not own & set(done.out.split())

    def test_of_another_container(self, lab: Lab) -> None:
        other = lab.start(lab.container("sleep", "60"))
        lab.exec(other, "echo shared > /dev/shm/note")
        script = "cat /dev/shm/note; touch /dev/shm/b; ps | grep -c '[s]leep 60'"
        done = lab.sh(
            script + "; cd /proc/self/ns; readlink ipc; readlink pid",
            ipc_mode=f"container:{other.id}",
            pid_mode=f"container:{other.id}",
        )
        theirs = [os.readlink(f"/proc/{other.pid}/ns/{name}") for name in ("ipc", "pid")]
        assert done.out.split() == ["shared", "1", *theirs]
        assert lab.exec(other, "ls /dev/shm").split() == ["b", "note"]

    def test_of_one_whose_dev_shm_is_a_link(self, lab: Lab) -> None:
        other = lab.start(lab.container("sleep", "60", privileged=True))
        lab.exec(other, "umount /dev/shm; rmdir /dev/shm; ln -s /etc /dev/shm")
        with pytest.raises(RefusedError, match="/dev/shm"):
            lab.sh("ls /dev/shm", ipc_mode=f"container:{other.id}")

    @pytest.mark.parametrize("mode", ["ipc_mode", "pid_mode"])
    def test_of_one_that_has_ended(self, lab: Lab, mode: str) -> None:
        other = lab.start(lab.container("true"))
        while procfs.alive(other.pid, other.pid_start):
            time.sleep(0.01)
        with pytest.raises(StateError, match="does not run"):
            lab.sh("true", **{mode: f"container:{other.id}"})

    def test_sysctls(self, lab: Lab) -> None:
        names = "net/core/somaxconn kernel/shm_rmid_forced net/ipv4/ip_unprivileged_port_start kernel/domainname"
        done = lab.sh(
            f"cd /proc/sys; cat {names}",
            sysctls={"net.core.somaxconn": "77", "kernel.shm_rmid_forced": "1"},
            domainname="example.org",
        )
        assert done.out.split() == ["77", "1", "0", "example.org"]


class TestExec:
    def run(self, lab: Lab, container: Any, script: str, **config: Any) -> str:
        wanted = container.config._replace(command=("sh", "-c", script), **config)
        prepared = rootfs.enter(f"/proc/{container.pid}/root", wanted, "sh", ("PATH=/bin",))
        path = Path(lab.root.bundle(container.id), "process.json")
        path.write_text(json.dumps(surroundings.exec_process(wanted, prepared, ("PATH=/bin",))))
        argv = lab.argv("exec", "--process", str(path), container.id)
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout

    def test_joins_as_somebody_and_somewhere_else(self, lab: Lab) -> None:
        container = lab.start(lab.container("sleep", "60", mounts=(Mount("tmpfs", "/run"),)))
        lab.exec(container, "mkdir /run/made; ln -s /run/made /link")
        out = self.run(lab, container, "id -un; pwd; grep -E '^(CapEff|CapBnd|Seccomp:)' /proc/self/status",
                       user="web", working_dir="/link")  # fmt: skip
        assert out.split() == [
            "web",
            "/run/made",
            "CapEff:",
            "0" * 16,
            "CapBnd:",
            "00000000a80425fb",
            "Seccomp:",
            "2",
        ]

    def test_privileged(self, lab: Lab) -> None:
        container = lab.start(lab.container("sleep", "60"))
        script = "grep CapEff /proc/self/status"
        plain, privileged = self.run(lab, container, script), self.run(lab, container, script, privileged=True)
        assert int(plain.split()[1], 16) < int(privileged.split()[1], 16)

    @pytest.mark.parametrize("place", ["/proc/self/fd/3", "/proc/1/root", "/out"])
    def test_never_starts_where_the_runtime_has_something_open(self, lab: Lab, place: str) -> None:
        container = lab.start(lab.container("sleep", "60"))
        lab.exec(container, "ln -s /dev/fd/3 /out")
        with pytest.raises(RefusedError):
            self.run(lab, container, "ls", working_dir=place)

    def test_what_is_not_there(self, lab: Lab) -> None:
        container = lab.start(lab.container("sleep", "60"))
        with pytest.raises(NotFoundError):
            self.run(lab, container, "ls", working_dir="/nosuch")
        with pytest.raises(CommandNotFoundError):
            rootfs.enter(f"/proc/{container.pid}/root", container.config, "nosuch", ("PATH=/bin",))
        with pytest.raises(NotExecutableError):
            rootfs.enter(f"/proc/{container.pid}/root", container.config, "/etc/passwd", ())


class TestLimits:
    def read(self, v1: str, v2: str) -> str:
        return f"cat {CGROUP}/{v1 if V1 else v2}"

    def test_memory_bites(self, lab: Lab) -> None:
        done = lab.sh("head -c 100m /dev/zero | tail -c 80m | wc -c", resources=Resources(memory=32 << 20))
        assert done.status == 137 or done.out == "0\n"

    def test_memory_is_set(self, lab: Lab) -> None:
        script = self.read("memory/memory.limit_in_bytes", "memory.max")
        if V1:
            script += f"; {self.read('memory/memory.memsw.limit_in_bytes', '')}"
            script += f"; {self.read('memory/memory.soft_limit_in_bytes', '')}"
        limits = Resources(memory=32 << 20, memory_swap=48 << 20, memory_reservation=16 << 20)
        assert (
            lab.sh(script, resources=limits).out.split()[:3]
            == [str(n << 20) for n in (32, 48, 16)][: 3 if V1 else 1]
        )

    def test_processes_bite(self, lab: Lab) -> None:
        done = lab.sh("for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait", resources=Resources(pids_limit=5))
        assert "can't fork" in done.err

    def test_processors_bite(self, lab: Lab) -> None:
        script = self.read("cpu/cpu.stat", "cpu.stat") + " | grep throttled"
        done = lab.sh("i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; " + script, resources=Resources(cpus=0.1))
        values = dict(line.split() for line in done.out.splitlines())
        assert int(values["nr_throttled"]) > 0

    def test_processors_are_set(self, lab: Lab) -> None:
        script = self.read("cpuset/cpuset.cpus", "cpuset.cpus") + ";" + self.read("cpu/cpu.shares", "cpu.weight")
        out = lab.sh(script, resources=Resources(cpuset_cpus="0", cpu_shares=512)).out.split()
        assert out[0] == "0"
        assert out[1] == "512" or not V1

    @pytest.mark.skipif(not V1, reason="the files have other names")
    def test_they_change_and_go_while_it_runs(self, lab: Lab) -> None:
        limits = Resources(32 << 20, None, 0.5, 100, "0", 9, 16 << 20)
        container = lab.start(lab.container("sleep", "60", resources=limits))
        files = (
            "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares"
        )

        def updated(after: Resources) -> list[str]:
            document = cgroups.update_document(limits, after, cgroups.facts())
            path = Path(lab.root.bundle(container.id), "resources.json")
            path.write_text(json.dumps(document))
            subprocess.run(lab.argv("update", "--resources", str(path), container.id), check=True)
            script = f"cd {CGROUP}; cat {files} cpuset/cpuset.cpus pids/pids.max"
            return [str(word) for word in lab.exec(container, script).split()]

        more = updated(limits._replace(memory=128 << 20, cpus=1.5, pids_limit=20))
        assert more == [str(128 << 20), str(256 << 20), "150000", "100", "0", "20"]
        less = updated(limits._replace(memory=24 << 20))
        assert less == [str(24 << 20), str(48 << 20), "50000", "100", "0", "9"]
        memory, swap, *rest = updated(Resources(pids_limit=None))
        assert int(memory) == int(swap) > 1 << 60
        assert rest == [str(cgroups.QUOTA_MAX), "1024", cgroups.facts().processors, str(cgroups.PIDS_MAX)]
