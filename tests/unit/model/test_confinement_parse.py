from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.model.confinement_parse import (
    parse_capability,
    parse_device,
    parse_security_options,
    parse_sysctls,
    parse_ulimit,
)
from devbox.model.container import Device, Ulimit


@pytest.mark.parametrize("text", ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"])
def test_a_capability_in_all_its_spellings(text: str) -> None:
    assert parse_capability(text) == "NET_ADMIN"


def test_an_unknown_capability_names_its_neighbour() -> None:
    with pytest.raises(UsageError) as caught:
        parse_capability("NET_ADMINS")
    assert "NET_ADMIN?" in caught.value.hint


def test_security_options_together() -> None:
    options = parse_security_options(["no-new-privileges", "seccomp=unconfined", "label=disable"])
    assert options.no_new_privileges
    assert options.seccomp == "unconfined"
    assert not options.paths_unconfined


def test_the_last_apparmor_profile_counts() -> None:
    assert parse_security_options(["apparmor=unconfined", "apparmor:mine"]).apparmor == "mine"


@pytest.mark.parametrize("text", ["no-new-privileges:true", "no-new-privileges=true", "no-new-privileges"])
def test_no_new_privileges_in_all_its_spellings(text: str) -> None:
    assert parse_security_options([text]).no_new_privileges


@pytest.mark.parametrize(
    "text",
    [
        "apparmor=",
        "apparmor=a\nb",
        "label=type:spc_t",
        "nonsense",
        "seccomp",
        "seccomp=",
        "no-new-privileges=maybe",
        "systempaths=all",
        "",
    ],
)
def test_security_options_that_cannot_be_honoured(text: str) -> None:
    with pytest.raises(UsageError):
        parse_security_options([text])


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("/dev/fuse", Device("/dev/fuse", "/dev/fuse", "rwm")),
        ("/dev/sda:/dev/xvda", Device("/dev/sda", "/dev/xvda", "rwm")),
        ("/dev/sda:r", Device("/dev/sda", "/dev/sda", "r")),
        ("/dev/sda:/dev/xvda:rw", Device("/dev/sda", "/dev/xvda", "rw")),
        ("/dev/../dev//fuse", Device("/dev/fuse", "/dev/fuse")),
    ],
)
def test_devices(text: str, device: Device) -> None:
    assert parse_device(text) == device


@pytest.mark.parametrize(
    "text",
    ["", "fuse", "/dev/a:/dev/b:x", "/dev/a:/dev/b:rr", "/dev/a:/dev/b:rwm:z", "/dev/a:/proc/x", "/dev/a:/dev",
     "/dev/a:/", "/dev/a:/dev/../proc/1", "/dev/a:relative"],
)  # fmt: skip
def test_malformed_devices(text: str) -> None:
    with pytest.raises(UsageError):
        parse_device(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=1024", Ulimit("nofile", 1024, 1024)),
        ("nofile=1024:2048", Ulimit("nofile", 1024, 2048)),
        ("core=-1", Ulimit("core", -1, -1)),
        ("core=0:unlimited", Ulimit("core", 0, -1)),
        ("NPROC=7", Ulimit("nproc", 7, 7)),
    ],
)
def test_ulimits(text: str, limit: Ulimit) -> None:
    assert parse_ulimit(text) == limit


@pytest.mark.parametrize(
    "text",
    ["", "nofile", "nofile=", "nofile=x", "files=1", "nofile=2:1", "nofile=-1:5", "nofile=1:2:3", "core=-2"],
)
def test_malformed_ulimits(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ulimit(text)


def test_sysctls_of_namespaces() -> None:
    assert parse_sysctls(["net.core.somaxconn=5", "kernel.shmmax=1", "net/ipv4/conf/eth0.1/rp_filter=0"]) == {
        "net.core.somaxconn": "5",
        "kernel.shmmax": "1",
        "net.ipv4.conf.eth0/1.rp_filter": "0",
    }


@pytest.mark.parametrize(
    "text", ["kernel.panic=1", "vm.swappiness=0", "net=1", "net.x", "net.x=1\n2", "kernel.core_pattern=|/x", "=1"]
)
def test_sysctls_of_the_whole_machine(text: str) -> None:
    with pytest.raises(UsageError):
        parse_sysctls([text])


def test_sysctls_of_a_namespace_that_is_the_hosts() -> None:
    with pytest.raises(UsageError, match="network"):
        parse_sysctls(["net.core.somaxconn=5"], host_network=True)
    with pytest.raises(UsageError, match="IPC"):
        parse_sysctls(["kernel.shmmax=5"], host_ipc=True)


@given(st.text())
def test_nothing_but_a_usage_error_comes_out(text: str) -> None:
    for parse in (parse_capability, parse_device, parse_ulimit, lambda t: parse_sysctls([t])):
        try:
            parse(text)
        except UsageError as error:
            assert "\n" not in error.message  # noqa: PT017
