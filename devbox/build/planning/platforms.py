"""The platforms that are built for and on, and the variables that tell a Dockerfile of them (pure)."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from typing import NamedTuple

from devbox.errors import UsageError
from devbox.image import config

PROXIES = frozenset(
    name
    for word in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (word, word.upper())
)
"""arguments that every RUN gets without any ARG, and that are no part of its identity"""
_USUAL = {("amd64", "v1"): "", ("arm64", "v8"): "", ("arm", ""): "v7"}
"""variants that are written in another way, by architecture"""


class Platform(NamedTuple):
    """What programs are for."""

    architecture: str = "amd64"
    variant: str = ""

    @property
    def name(self) -> str:
        """linux/amd64, linux/arm/v7"""
        return "/".join(filter(None, ("linux", *self)))

    def variables(self, kind: str) -> dict[str, str]:
        """The arguments that tell of it; their names begin with `kind`."""
        values = {"PLATFORM": self.name, "OS": "linux", "ARCH": self.architecture, "VARIANT": self.variant}
        return {kind + name: value for name, value in values.items()}


def usual(architecture: str, variant: str) -> Platform:
    """A platform by its usual name: arm64 is v8, and arm is v7."""
    return Platform(architecture, _USUAL.get((architecture, variant), variant))


class Platforms(NamedTuple):
    """What is built, on what."""

    build: Platform = Platform()
    target: Platform = Platform()

    def variables(self) -> dict[str, str]:
        """The arguments that are there without being given."""
        return {**self.target.variables("TARGET"), **self.build.variables("BUILD")}

    def read(self, text: str) -> Platform:
        """The platform of --platform; UsageError for what is none, or not of Linux."""
        if text.lower() in ("local", "linux"):
            return self.build
        if text.count("/") > 2 or text != text.strip():
            raise UsageError(f"invalid platform: {text!r}", hint="write it as linux/amd64 or linux/arm/v7")
        return usual(*config.platform_of(text))
