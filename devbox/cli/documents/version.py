"""`devbox version` in docker's shape: one program is client and server."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any

from devbox import __version__
from devbox.errors import HostError

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_PROGRAMS = ("crun", "runc", "conmon", "nft")


def document(*, with_programs: bool) -> dict[str, Any]:
    """The document; asking the programs for their versions starts each of them."""
    import platform

    system = platform.uname()
    common = {
        "Version": __version__,
        "ApiVersion": "1.50",
        "Os": system.system.lower(),
        "Arch": _ARCHITECTURES.get(system.machine, system.machine),
        "KernelVersion": system.release,
        "PythonVersion": ".".join(map(str, sys.version_info[:3])),
    }
    programs = _programs() if with_programs else []
    return {
        "Client": {**common, "Context": "default"},
        "Server": {
            **common,
            "Platform": {"Name": "devbox"},
            "Components": [{"Name": "Engine", "Version": __version__}, *programs],
        },
    }


def _programs() -> list[dict[str, str]]:
    """Those that are installed; all are asked at once."""
    running: dict[str, Any] = {}
    outputs: dict[str, bytes] = {}
    if sys.platform == "linux":
        from devbox.system import process

        for name in _PROGRAMS:
            with contextlib.suppress(HostError):
                running[name] = process.start([name, "--version"])
        outputs = {name: process.finish(each).output for name, each in running.items()}
    return [{"Name": name, "Version": _number(output)} for name, output in outputs.items()]


def _number(output: bytes) -> str:
    match = re.search(rb"\d+\.\d+[\w.+~-]*", output)
    return match[0].decode() if match else "unknown"
