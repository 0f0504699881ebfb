"""Platforms as they are written, and what the kernel says of interpreters."""

from __future__ import annotations

import pytest

from devbox.build.executing import emulation
from devbox.build.planning.platforms import Platform, Platforms
from devbox.errors import UsageError

OF_DEBIAN = """enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""
ARM64 = emulation._header(2, "little", 183)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("linux/arm64", "linux/arm64"),
        ("arm64", "linux/arm64"),
        ("LINUX/ARM64/v8", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("local", "linux/amd64"),
        ("linux", "linux/amd64"),
    ],
)
def test_a_platform_has_one_name(text: str, name: str) -> None:
    assert Platforms().read(text).name == name


@pytest.mark.parametrize("text", ["windows/amd64", "linux/", "", "linux/a/b/c", "linux/a b", "linux/amd64 "])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(UsageError):
        Platforms().read(text)


def test_dockerfiles_are_told_of_both() -> None:
    told = Platforms(Platform("amd64"), Platform("arm", "v7")).variables()
    assert told["BUILDPLATFORM"] == "linux/amd64"
    assert (told["TARGETPLATFORM"], told["TARGETVARIANT"], told["TARGETOS"]) == ("linux/arm/v7", "v7", "linux")


@pytest.mark.parametrize(
    ("old", "new", "takes"),
    [
        ("", "", True),
        ("enabled", "disabled", False),
        ("flags: POF", "flags: PO", False),  # a container would have to have the interpreter itself
        ("0200b700", "02003e00", False),
        ("offset 0", "offset 1", False),
        ("mask ffffffffffffff00fffffffffffffffffeffffff\n", "", True),
        ("magic 7f454c460201010000000000000000000200b700\n", "", False),
    ],
)
def test_an_interpreter_counts_where_a_container_needs_nothing_of_it(old: str, new: str, takes: bool) -> None:
    assert emulation._takes(OF_DEBIAN.replace(old, new), ARM64) is takes


def test_this_machine_runs_its_own_programs() -> None:
    from devbox.image import config

    assert emulation.runs(config.architecture())
    assert not emulation.runs("nosuch")
