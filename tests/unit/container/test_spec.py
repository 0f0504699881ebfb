"""config.json: pure, from a container and a setting."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devbox.container import cgroups
from devbox.container.spec import configjson
from devbox.container.spec.capabilities import DEFAULT
from devbox.container.spec.configjson import MountEntry, Setting
from devbox.container.spec.devices import Node
from devbox.container.spec.users import User
from devbox.errors import HostError, UsageError
from devbox.model.confinement_parse import CAPABILITIES, UNLIMITED
from devbox.model.container import Container, ContainerConfig, Resources, Ulimit

V1 = cgroups.Facts(1, frozenset(("memory", "cpu", "cpuset", "pids")), swap=True, processors="0-3")
V2 = V1._replace(version=2)
DOCKERS_14 = {
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
    "CAP_SYS_CHROOT",
}  # fmt: skip
SETTING = Setting(
    rootfs="/r",
    user=User(33, 34, (34, 40), "/home/web"),
    env=("A=1",),
    working_dir="/app",
    netns="/proc/7/fd/9",
    mounts=(),
    cgroup="/devbox/x",
    cgroups=V1,
    bounding=frozenset(CAPABILITIES),
    hard_limits={},
)


def document(setting: Setting = SETTING, **config: Any) -> dict[str, Any]:
    wanted = ContainerConfig(command=("run", "it"))._replace(**config)
    made = configjson.document(Container("f" * 64, "c", 0.0, "sha256:0", "i", wanted), setting)
    json.dumps(made)
    return made


def mounts(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in made["mounts"]}


def namespaces(made: dict[str, Any]) -> dict[str, str]:
    return {entry["type"]: entry.get("path", "") for entry in made["linux"]["namespaces"]}


def test_the_process() -> None:
    process = document()["process"]
    assert process["args"] == ["run", "it"]
    assert process["cwd"] == "/app"
    assert process["env"] == ["A=1"]
    assert process["user"] == {"uid": 33, "gid": 34, "additionalGids": [34, 40], "umask": 0o022}
    assert process["noNewPrivileges"] is False


def test_the_entry_point_comes_before_the_command() -> None:
    assert document(entrypoint=("/e",))["process"]["args"] == ["/e", "run", "it"]


class TestCapabilities:
    def of(self, bounding: frozenset[str] = SETTING.bounding, **config: Any) -> set[str]:
        sets = document(SETTING._replace(bounding=bounding), **config)["process"]["capabilities"]
        assert sets.keys() == {"bounding", "permitted", "effective"}, "inheritable ones outlive setuid"
        assert sets["bounding"] == sets["permitted"] == sets["effective"]
        return set(sets["bounding"])

    def test_dockers_fourteen(self) -> None:
        assert self.of() == DOCKERS_14
        assert len(DEFAULT) == 14

    def test_added_and_dropped(self) -> None:
        assert self.of(cap_add=("NET_ADMIN",), cap_drop=("CHOWN",)) == DOCKERS_14 - {"CAP_CHOWN"} | {
            "CAP_NET_ADMIN"
        }

    def test_all_but_one(self) -> None:
        assert len(self.of(cap_add=("ALL",), cap_drop=("SYS_ADMIN",))) == len(CAPABILITIES) - 1

    def test_none_but_one(self) -> None:
        assert self.of(cap_drop=("ALL",), cap_add=("KILL",)) == {"CAP_KILL"}
        assert self.of(cap_drop=("ALL",)) == set()

    def test_privileged(self) -> None:
        assert len(self.of(privileged=True)) == len(CAPABILITIES)

    def test_never_more_than_we_have(self) -> None:
        assert self.of(frozenset(("KILL", "SYS_ADMIN")), privileged=True) == {"CAP_KILL", "CAP_SYS_ADMIN"}


class TestFiles:
    def test_the_kernels_secrets_are_masked(self) -> None:
        linux = document()["linux"]
        docker = {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/scsi",
                  "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                  "/sys/devices/virtual/powercap"}  # fmt: skip
        assert docker <= set(linux["maskedPaths"])
        assert {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} <= set(
            linux["readonlyPaths"]
        )

    def test_privileged_or_asked_for_they_are_not(self) -> None:
        for config in ({"privileged": True}, {"security_opt": ("systempaths=unconfined",)}):
            linux = document(**config)["linux"]
            assert linux["maskedPaths"] == linux["readonlyPaths"] == []

    def test_the_tmpfs_of_cgroup_controllers_is_read_only(self) -> None:
        def remounted(setting: Setting, **config: Any) -> bool:
            return any("remount" in mount["options"] for mount in document(setting, **config)["mounts"])

        assert remounted(SETTING)
        assert not remounted(SETTING._replace(cgroups=V2))
        assert not remounted(SETTING, privileged=True)
        asked = MountEntry("/x", cgroups.MOUNT, "bind", ("rbind",))
        assert not remounted(SETTING._replace(mounts=(asked,)))

    @pytest.mark.parametrize("target", ["/sys", "/sys/fs/cgroup"])
    def test_sysfs_is_read_only_unless_privileged(self, target: str) -> None:
        assert "ro" in mounts(document())[target]["options"]
        assert "rw" in mounts(document(privileged=True))[target]["options"]

    def test_shared_memory(self) -> None:
        shm = mounts(document(shm_size=1234))["/dev/shm"]
        assert "size=1234" in shm["options"]
        assert {"nosuid", "nodev", "noexec"} <= set(shm["options"])

    def test_a_mount_of_the_user_replaces_ours(self) -> None:
        own = MountEntry("/v", "/dev/shm", "bind", ("rbind",))
        made = document(SETTING._replace(mounts=(own,)))
        assert [mount["source"] for mount in made["mounts"] if mount["destination"] == "/dev/shm"] == ["/v"]

    def test_the_users_come_last(self) -> None:
        own = MountEntry("/v", "/dev", "bind", ("rbind",))
        made = mounts(document(SETTING._replace(mounts=(own,))))
        assert list(made)[-1] == "/dev"
        assert not {"/dev/pts", "/dev/shm", "/dev/mqueue"} & made.keys()

    @pytest.mark.parametrize(
        ("option", "root"), [("rprivate", "rprivate"), ("shared", "rshared"), ("rslave", "rslave")]
    )
    def test_the_root_propagates_what_a_mount_wants(self, option: str, root: str) -> None:
        own = MountEntry("/v", "/v", "bind", ("rbind", "ro", option))
        assert document(SETTING._replace(mounts=(own,)))["linux"]["rootfsPropagation"] == root

    def test_a_read_only_root(self) -> None:
        assert document(read_only=True)["root"] == {"path": "/r", "readonly": True}


class TestNamespaces:
    def test_each_its_own(self) -> None:
        assert namespaces(document()) == {"mount": "", "network": "/proc/7/fd/9", "uts": "", "pid": "", "ipc": ""}

    def test_cgroup_v2_has_one_more(self) -> None:
        assert "cgroup" in namespaces(document(SETTING._replace(cgroups=V2)))

    def test_of_the_host(self) -> None:
        setting = SETTING._replace(netns="host", pid_namespace="host", ipc_namespace="host", uts_namespace="host")
        made = document(setting)
        assert namespaces(made) == {"mount": ""}
        assert "hostname" not in made
        assert not {"/dev/shm", "/dev/mqueue"} & mounts(made).keys()

    def test_of_another_container(self) -> None:
        made = document(SETTING._replace(pid_namespace="/proc/5/ns/pid", ipc_namespace="/proc/5/ns/ipc"))
        assert namespaces(made)["pid"] == "/proc/5/ns/pid"
        assert namespaces(made)["ipc"] == "/proc/5/ns/ipc"

    def test_an_init_only_where_it_is_one(self) -> None:
        assert document(init=True)["process"]["args"] == [configjson.INIT_TARGET, "--", "run", "it"]


class TestNames:
    def test_the_short_id_by_default(self) -> None:
        assert document()["hostname"] == "f" * 12
        assert document(hostname="web")["hostname"] == "web"

    def test_a_domain(self) -> None:
        assert document(domainname="example.org")["linux"]["sysctl"]["kernel.domainname"] == "example.org"


class TestSysctls:
    def test_low_ports_are_for_everybody(self) -> None:
        assert document()["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"

    @pytest.mark.parametrize("mode", ["host", "container:" + "a" * 64])
    def test_not_in_a_network_of_others(self, mode: str) -> None:
        assert document(network_mode=mode)["linux"]["sysctl"] == {}


class TestLimits:
    def resources(self, facts: cgroups.Facts = V1, **limits: Any) -> dict[str, Any]:
        made = document(SETTING._replace(cgroups=facts), resources=Resources(**limits))["linux"]["resources"]
        del made["devices"]
        return dict(made)

    def test_processes_by_default(self) -> None:
        assert self.resources() == {"pids": {"limit": 4096}}
        assert self.resources(pids_limit=None) == {}

    def test_as_much_swap_as_memory(self) -> None:
        assert self.resources(memory=100, pids_limit=None) == {"memory": {"limit": 100, "swap": 200}}
        assert self.resources(memory=100, memory_swap=-1)["memory"]["swap"] == -1

    def test_no_swap_limit_where_nobody_counts_it(self) -> None:
        assert self.resources(V1._replace(swap=False), memory=100)["memory"] == {"limit": 100}

    def test_processors(self) -> None:
        cpu = self.resources(cpus=1.5, cpu_shares=7, cpuset_cpus="0-1")["cpu"]
        assert cpu == {"quota": 150_000, "period": 100_000, "shares": 7, "cpus": "0-1"}

    def test_rlimits_are_cut_to_our_own(self) -> None:
        setting = SETTING._replace(hard_limits={"nofile": 20_000, "core": UNLIMITED})
        process = document(setting, ulimits=(Ulimit("core", -1, -1), Ulimit("nofile", 100, 50_000)))["process"]
        assert process["rlimits"] == [
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 20_000},
            {"type": "RLIMIT_CORE", "soft": UNLIMITED, "hard": UNLIMITED},
        ]

    @pytest.mark.parametrize(
        "limits",
        [
            {"cpus": 4.5},
            {"cpuset_cpus": "0-4"},
            {"memory": 100, "facts": V1._replace(controllers=frozenset())},
            {"pids_limit": 5, "facts": V1._replace(controllers=frozenset())},
            {"memory": 100, "memory_swap": 200, "facts": V1._replace(swap=False)},
        ],
    )
    def test_what_the_host_cannot_hold(self, limits: dict[str, Any]) -> None:
        facts = limits.pop("facts", V1)
        with pytest.raises((HostError, UsageError)):
            cgroups.check(Resources(**limits), facts)

    def test_what_it_can(self) -> None:
        cgroups.check(Resources(100, 200, 4.0, 2, "0-3,1", 5, 50), V1)
        cgroups.check(Resources(), V1._replace(controllers=frozenset(), swap=False))


class TestDevices:
    node = Node("/dev/x", "b", 8, 1, 0o660, 0, 6, "r")

    def test_all_are_denied_but_the_standard_ones(self) -> None:
        rules = document()["linux"]["resources"]["devices"]
        assert rules[0] == {"allow": False, "access": "rwm"}
        usable = {(rule["major"], rule.get("minor")) for rule in rules if rule["allow"] and "major" in rule}
        assert usable == {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None)}

    def test_one_that_was_asked_for(self) -> None:
        linux = document(SETTING._replace(devices=(self.node,)))["linux"]
        assert linux["resources"]["devices"][-1] == {
            "allow": True,
            "type": "b",
            "major": 8,
            "minor": 1,
            "access": "r",
        }
        assert linux["devices"] == [
            {"path": "/dev/x", "type": "b", "major": 8, "minor": 1, "fileMode": 0o660, "uid": 0, "gid": 6}
        ]

    def test_privileged(self) -> None:
        assert document(privileged=True)["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]


def test_no_annotation_comes_from_labels() -> None:
    assert document(labels={"run.oci.handler": "wasm"})["annotations"] == {}


def test_the_environment_in_dockers_order() -> None:
    config = ContainerConfig(env=("PATH=/own", "DB_PORT=mine"))
    made = configjson.environment(config, "web", tty=True, links=("DB_PORT=tcp", "DB_NAME=/c/db"), home="/root")
    assert made == ("PATH=/own", "HOSTNAME=web", "TERM=xterm", "HOME=/root", "DB_PORT=mine", "DB_NAME=/c/db")
