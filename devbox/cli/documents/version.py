"""`devbox version` in docker's shape: one program is client and server."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any

from devbox import __version__
from devbox.errors import HostError

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_PROGRAMS = ("crun", "runc", "conmon", "nft", "skopeo")


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
    """Its name and version, None when it is not installed."""
    output = _output([name, "--version"])
    match = re.search(rb"\d+\.\d+[\w.+~-]*", output or b"")
    version = match[0].decode() if match else "unknown"
    return None if output is None else {"Name": name, "Version": version}


def _output(command: list[str]) -> bytes | None:
    output = None
    if sys.platform == "linux":
        from devbox.system import process

        with contextlib.suppress(HostError):
            output = process.run(command, check=False).output
    return output
