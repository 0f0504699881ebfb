"""`devbox version` in docker's shape: one program is client and server."""

from __future__ import annotations

import os
import sys
from typing import Any

from devbox import __version__

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_PROGRAMS = ("crun", "runc", "conmon", "nft", "skopeo")


def document(*, with_programs: bool) -> dict[str, Any]:
    """The document; asking the programs for their versions starts each of them."""
    system = os.uname()
    common = {
        "Version": __version__,
        "ApiVersion": "1.50",
        "Os": system.sysname.lower(),
        "Arch": _ARCHITECTURES.get(system.machine, system.machine),
        "KernelVersion": system.release,
        "PythonVersion": ".".join(map(str, sys.version_info[:3])),
    }
    programs = [_program(name) for name in _PROGRAMS] if with_programs else []
    return {
        "Client": {**common, "Context": "default"},
        "Server": {
            **common,
            "Platform": {"Name": "devbox"},
            "Components": [{"Name": "Engine", "Version": __version__}, *filter(None, programs)],
        },
    }


def _program(name: str) -> dict[str, str] | None:
    version = program_version(name)
    return {"Name": name, "Version": version} if version else None


def program_version(name: str) -> str:
    """What a program calls its version, "" when it is not installed."""
    if sys.platform != "linux":
        return ""
    import re

    from devbox.errors import HostError
    from devbox.system import process

    try:
        result = process.run([name, "--version"], check=False)
    except HostError:
        return ""
    match = re.search(rb"\d+\.\d+[\w.+~-]*", result.output)
    return match[0].decode() if match else "unknown"
