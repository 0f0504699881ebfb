"""The platform that is built for, and the variables that tell a Dockerfile of it (pure)."""

from __future__ import annotations

from typing import NamedTuple

from devbox.errors import UsageError

PROXIES = frozenset(
    name
    for word in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (word, word.upper())
)
"""arguments that every RUN gets without any ARG, and that are no part of its identity"""


class Platforms(NamedTuple):
    """What is built, on what: the same so far, since other machines' programs cannot be run."""

    architecture: str = "amd64"
    variant: str = ""

    @property
    def name(self) -> str:
        """linux/amd64"""
        return "/".join(filter(None, ("linux", self.architecture, self.variant)))

    def variables(self) -> dict[str, str]:
        """The arguments that are there without being given."""
        values = {"PLATFORM": self.name, "OS": "linux", "ARCH": self.architecture, "VARIANT": self.variant}
        return {kind + name: value for kind in ("TARGET", "BUILD") for name, value in values.items()}

    def check(self, text: str) -> None:
        """UsageError for another platform than this one."""
        wanted = text.lower().removeprefix("linux/").split("/")
        if wanted[0] not in ("local", self.architecture) or (len(wanted) > 1 and wanted[1] != self.variant):
            raise UsageError(
                f"cannot build for {text}: this machine is {self.name}",
                hint="build on a machine of that kind: devbox --machine NAME build ...",
            )
