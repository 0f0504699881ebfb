from __future__ import annotations

from typing import Any

from devbox.model.container import Container, ContainerConfig
from devbox.network.resolv import content

MACHINE = [["nameserver", "127.0.0.53"], ["nameserver", "10.0.0.1"], ["search", "a"], ["search", "b", "c"]]


def container(**config: Any) -> Container:
    return Container("0" * 64, "web", 0, "sha256:0", "busybox", ContainerConfig(**config))


def test_a_resolver_on_the_machines_loopback_is_left_out() -> None:
    assert content(container(), MACHINE) == "nameserver 10.0.0.1\nsearch b c\n"


def test_without_any_reachable_resolver_dockers_default_is_used() -> None:
    assert content(container(), MACHINE[:1]) == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_a_resolver_that_only_ipv6_reaches_is_left_out() -> None:
    assert content(container(), [["nameserver", "fd00::1"], *MACHINE[:2]]) == "nameserver 10.0.0.1\n"


def test_the_hosts_network_sees_what_the_host_sees() -> None:
    text = content(container(network_mode="host"), MACHINE)
    assert text.startswith("nameserver 127.0.0.53\nnameserver 10.0.0.1\n")


def test_flags_replace_the_machines_lines() -> None:
    config = container(dns=("127.0.0.9", "fd00::1"), dns_search=("example.org",), dns_options=("ndots:2", "a"))
    assert content(config, [*MACHINE, ["options", "edns0"]]) == (
        "nameserver 127.0.0.9\nnameserver fd00::1\nsearch example.org\noptions ndots:2 a\n"
    )


def test_a_dot_takes_the_search_list_away() -> None:
    assert content(container(dns_search=(".",)), MACHINE) == "nameserver 10.0.0.1\n"


def test_words_without_values_do_no_harm() -> None:
    assert content(container(), [["nameserver"], ["search"], ["options"]]).startswith("nameserver 8.8.8.8\n")
