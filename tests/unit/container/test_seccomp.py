"""docker's default profile, and profiles of users."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from devbox.container.spec import seccomp
from devbox.container.spec.capabilities import DEFAULT
from devbox.container.spec.seccomp_calls import ALLOWED, ALLOWED_WITH, REFUSED
from devbox.errors import UsageError

DISTRIBUTION = Path("/usr/share/containers/seccomp.json")
DOCKERS = [f"CAP_{name}" for name in DEFAULT]


def verdicts(profile: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [rule for rule in profile["syscalls"] if name in rule["names"]]


def allows(profile: dict[str, Any], name: str) -> bool:
    return {"SCMP_ACT_ALLOW"} == {rule["action"] for rule in verdicts(profile, name) if "args" not in rule}


GATED = (
    "mount umount2 unshare setns bpf keyctl add_key reboot swapon kexec_load init_module open_by_handle_at "
    "userfaultfd perf_event_open io_uring_setup pivot_root settimeofday iopl acct quotactl move_mount open_tree "
    "fsopen mount_setattr pidfd_getfd syslog mbind"
)


@pytest.mark.parametrize("name", GATED.split())
def test_what_docker_refuses_by_default(name: str) -> None:
    profile = seccomp.default(DOCKERS, "x86_64")
    assert not allows(profile, name)
    assert [rule["errnoRet"] for rule in verdicts(profile, name)] == [1]


@pytest.mark.parametrize(
    "name", ["read", "execve", "chroot", "ptrace", "clone", "socket", "openat2", "statx", "arch_prctl"]
)
def test_what_it_allows(name: str) -> None:
    rules = verdicts(seccomp.default(DOCKERS, "x86_64"), name)
    assert "SCMP_ACT_ALLOW" in {rule["action"] for rule in rules}


def test_clone_makes_no_namespace() -> None:
    (rule,) = verdicts(seccomp.default(DOCKERS, "x86_64"), "clone")
    new = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
    assert rule["args"] == [{"index": 0, "value": new, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]


def test_clone3_hides_its_flags_and_so_does_not_exist() -> None:
    (rule,) = verdicts(seccomp.default(DOCKERS, "x86_64"), "clone3")
    assert (rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_an_unknown_call_does_not_exist() -> None:
    profile = seccomp.default(DOCKERS, "x86_64")
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 38)


@pytest.mark.parametrize("capability", ALLOWED_WITH)
def test_a_capability_brings_its_calls(capability: str) -> None:
    profile = seccomp.default([capability], "x86_64")
    for name in ALLOWED_WITH[capability]:
        assert allows(profile, name), name


def test_no_call_is_allowed_and_refused_at_once() -> None:
    for capabilities in ([], DOCKERS, list(ALLOWED_WITH)):
        profile = seccomp.default(capabilities, "x86_64")
        for rule in profile["syscalls"]:
            for name in rule["names"]:
                plain = [other["action"] for other in verdicts(profile, name) if "args" not in other]
                assert len(plain) <= 1, name


def test_the_lists_do_not_meet() -> None:
    gated = {name for names in ALLOWED_WITH.values() for name in names}
    assert not ALLOWED & REFUSED
    assert not ALLOWED & gated
    assert not gated & REFUSED


@pytest.mark.skipif(not DISTRIBUTION.exists(), reason="containers-common is not installed")
def test_nothing_is_allowed_that_the_distributions_profile_never_heard_of() -> None:
    known = {name for entry in json.loads(DISTRIBUTION.read_text())["syscalls"] for name in entry["names"]}
    newer = {"cachestat", "fchmodat2", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake",
             "io_pgetevents_time64", "map_shadow_stack", "mseal"}  # fmt: skip
    assert known >= ALLOWED - newer


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64", "s390x", "ppc64le"])
def test_every_machine_has_its_architectures(machine: str) -> None:
    assert seccomp.default(DOCKERS, machine)["architectures"]


class TestOwnProfile:
    document: ClassVar[dict[str, Any]] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": None, "includes": {}, "comment": "x"},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["breakpoint"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        ],
    }

    def names(self, capabilities: list[str], kernel: tuple[int, int] = (6, 1)) -> set[str]:
        profile = seccomp.from_document(self.document, capabilities, "x86_64", kernel)
        assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
        assert all(rule.keys() <= {"names", "action", "args", "errnoRet"} for rule in profile["syscalls"])
        return {name for rule in profile["syscalls"] for name in rule["names"]}

    def test_conditions_are_decided(self) -> None:
        assert self.names([]) == {"read", "ptrace", "clone"}
        assert self.names(["CAP_SYS_ADMIN"]) == {"read", "ptrace", "mount"}
        assert self.names([], (4, 4)) == {"read", "clone"}

    @pytest.mark.parametrize(
        "document",
        [None, [], {}, {"defaultAction": 5}, {"defaultAction": "x", "syscalls": {}},
         {"defaultAction": "x", "syscalls": [1]}, {"defaultAction": "x", "syscalls": [{"names": ["a"]}]},
         {"defaultAction": "x", "syscalls": [{"names": ["a"], "action": "x", "includes": []}]},
         {"defaultAction": "x", "syscalls": [{"names": ["a"], "action": "x", "includes": {"minKernel": "new"}}]}],
    )  # fmt: skip
    def test_malformed(self, document: Any) -> None:
        with pytest.raises(UsageError, match="invalid seccomp profile"):
            seccomp.from_document(document, [], "x86_64", (6, 1))
