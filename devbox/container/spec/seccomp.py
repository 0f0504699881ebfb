"""The seccomp profile of a container in the form of the OCI runtime spec (pure).

A refused call answers EPERM, as in docker; one that no list knows answers ENOSYS, so that a C library newer than
the lists falls back on what it did before.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import re
from collections.abc import Collection, Mapping
from typing import Any

from devbox.container.spec.seccomp_calls import ALLOWED, ALLOWED_ON, ALLOWED_WITH, REFUSED
from devbox.errors import UsageError

_EPERM = 1
_ENOSYS = 38
_AF_VSOCK = 40
_NAMESPACES = 0x7E020000
"""CLONE_NEW*: the flags of clone(2) that make a namespace"""
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "ppc64le": ("SCMP_ARCH_PPC64LE",),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "s390x": ("SCMP_ARCH_S390X", "SCMP_ARCH_S390"),
}
_GO_ARCHITECTURES = {
    "x86_64": {"amd64"},
    "aarch64": {"arm64"},
    "ppc64le": {"ppc64le"},
    "riscv64": {"riscv64"},
    "s390x": {"s390x"},
}

Rule = dict[str, Any]


def default(capabilities: Collection[str], machine: str) -> dict[str, Any]:
    """docker's default profile for a process with these capabilities ("CAP_X") on this machine (uname -m)."""
    allowed = set(ALLOWED) | set(ALLOWED_ON.get(machine, ()))
    gated: set[str] = set()
    for capability, names in ALLOWED_WITH.items():
        if capability in capabilities:
            allowed.update(names)
        gated.update(names)
    allowed -= {"socket", "personality"}
    rules = [_rule(allowed, "SCMP_ACT_ALLOW"), *_conditional()]
    refused = (gated | REFUSED) - allowed - {"clone", "clone3"}
    rules.append(_rule(refused, "SCMP_ACT_ERRNO", errno=_EPERM))
    if "CAP_SYS_ADMIN" not in capabilities:
        rules += _clone(machine)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        "architectures": list(_ARCHITECTURES.get(machine, ())),
        "syscalls": rules,
    }


def _conditional() -> list[Rule]:
    return [
        _rule({"socket"}, "SCMP_ACT_ALLOW", _argument(0, _AF_VSOCK, "SCMP_CMP_NE")),
        _rule({"socket"}, "SCMP_ACT_ERRNO", _argument(0, _AF_VSOCK, "SCMP_CMP_EQ"), errno=_EPERM),
        *(
            _rule({"personality"}, "SCMP_ACT_ALLOW", _argument(0, value, "SCMP_CMP_EQ"))
            for value in _PERSONALITIES
        ),
    ]


def _clone(machine: str) -> list[Rule]:
    """Threads and processes, but no namespaces; clone3 hides its flags from a filter, so it does not exist."""
    index = 1 if machine == "s390x" else 0
    no_namespace = {"index": index, "value": _NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    return [
        _rule({"clone"}, "SCMP_ACT_ALLOW", no_namespace),
        _rule({"clone3"}, "SCMP_ACT_ERRNO", errno=_ENOSYS),
    ]


def _rule(names: Collection[str], action: str, *arguments: Rule, errno: int = 0) -> Rule:
    rule: Rule = {"names": sorted(names), "action": action}
    if arguments:
        rule["args"] = list(arguments)
    if errno:
        rule["errnoRet"] = errno
    return rule


def _argument(index: int, value: int, comparison: str) -> Rule:
    return {"index": index, "value": value, "op": comparison}


def from_document(
    document: Any, capabilities: Collection[str], machine: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    """The user's own profile, in docker's form or the runtime spec's; UsageError when it is neither."""
    if not isinstance(document, dict) or not isinstance(document.get("defaultAction"), str):
        raise _malformed("it has no defaultAction")
    profile: dict[str, Any] = {"defaultAction": document["defaultAction"]}
    if isinstance(document.get("defaultErrnoRet"), int):
        profile["defaultErrnoRet"] = document["defaultErrnoRet"]
    if isinstance(document.get("flags"), list):
        profile["flags"] = document["flags"]
    profile["architectures"] = _architectures(document, machine)
    profile["syscalls"] = [
        rule
        for entry in _list(document, "syscalls")
        if _applies(entry, capabilities, machine, kernel)
        for rule in _plain(entry)
    ]
    return profile


def _architectures(document: Mapping[str, Any], machine: str) -> list[str]:
    own = _list(document, "architectures")
    if own:
        return [str(name) for name in own]
    native = _ARCHITECTURES.get(machine, ("",))[0]
    for entry in _list(document, "archMap"):
        if isinstance(entry, dict) and entry.get("architecture") == native:
            return [native, *_list(entry, "subArchitectures")]
    return []


def _applies(entry: Any, capabilities: Collection[str], machine: str, kernel: tuple[int, int]) -> bool:
    if not isinstance(entry, dict):
        raise _malformed("an entry of syscalls is not an object")
    includes, excludes = _object(entry, "includes"), _object(entry, "excludes")
    names = _GO_ARCHITECTURES.get(machine, set())
    if _list(includes, "arches") and not names & set(_list(includes, "arches")):
        return False
    if not set(_list(includes, "caps")) <= set(capabilities):
        return False
    if names & set(_list(excludes, "arches")) or set(_list(excludes, "caps")) & set(capabilities):
        return False
    return kernel >= _version(includes.get("minKernel"), (0, 0)) and kernel < _version(
        excludes.get("minKernel"), (1 << 30, 0)
    )


def _version(text: Any, default: tuple[int, int]) -> tuple[int, int]:
    if not text:
        return default
    match = re.fullmatch(r"([0-9]+)\.([0-9]+)", str(text))
    if not match:
        raise _malformed(f"minKernel is {text!r}")
    return int(match[1]), int(match[2])


def _plain(entry: Mapping[str, Any]) -> list[Rule]:
    names = _list(entry, "names") or ([entry["name"]] if isinstance(entry.get("name"), str) else [])
    if not names or not isinstance(entry.get("action"), str):
        raise _malformed("an entry of syscalls needs names and an action")
    rule: Rule = {"names": [str(name) for name in names], "action": entry["action"]}
    if isinstance(entry.get("errnoRet"), int):
        rule["errnoRet"] = entry["errnoRet"]
    if _list(entry, "args"):
        rule["args"] = _list(entry, "args")
    return [rule]


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _malformed(f"{key} is not a list")
    return value


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _malformed(f"{key} is not an object")
    return value


def _malformed(why: str) -> UsageError:
    return UsageError(f"invalid seccomp profile: {why}", hint="docker's default.json shows the form")
