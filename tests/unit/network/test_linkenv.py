from __future__ import annotations

import pytest

from devbox.network.linkenv import STANDARD_HOSTS, Target, environment, hosts_file

REDIS = Target(
    "172.17.0.2", ("PATH=/bin", "PASS=s3cret", "REDIS_VERSION=7.0", "FOO=a b"), ("6380/udp", "6379/tcp")
)


def test_the_recorded_environment() -> None:
    assert environment("web", "db", REDIS) == (
        "DB_PORT=tcp://172.17.0.2:6379",
        "DB_PORT_6379_TCP=tcp://172.17.0.2:6379",
        "DB_PORT_6379_TCP_ADDR=172.17.0.2",
        "DB_PORT_6379_TCP_PORT=6379",
        "DB_PORT_6379_TCP_PROTO=tcp",
        "DB_PORT_6380_UDP=udp://172.17.0.2:6380",
        "DB_PORT_6380_UDP_ADDR=172.17.0.2",
        "DB_PORT_6380_UDP_PORT=6380",
        "DB_PORT_6380_UDP_PROTO=udp",
        "DB_NAME=/web/db",
        "DB_ENV_PASS=s3cret",
        "DB_ENV_REDIS_VERSION=7.0",
        "DB_ENV_FOO=a b",
    )


def test_without_exposed_ports_there_is_only_the_name() -> None:
    assert environment("web", "x", Target("1.2.3.4", (), ())) == ("X_NAME=/web/x",)


def test_an_alias_is_made_a_variable_name() -> None:
    lines = environment("web", "my-svc.a", Target("1.2.3.4", ("A=1",), ()))
    assert lines == ("MY_SVC_A_NAME=/web/my-svc.a", "MY_SVC_A_ENV_A=1")


def test_a_range_is_described_and_the_lowest_port_is_the_port() -> None:
    lines = environment("w", "my-svc", Target("1.2.3.4", (), ("100/tcp", "101/tcp", "102/tcp", "53/udp")))
    assert lines[0] == "MY_SVC_PORT=udp://1.2.3.4:53"
    for line in (
        "MY_SVC_PORT_100_TCP_START=tcp://1.2.3.4:100",
        "MY_SVC_PORT_100_TCP_END=tcp://1.2.3.4:102",
        "MY_SVC_PORT_100_TCP_PORT_START=100",
        "MY_SVC_PORT_100_TCP_PORT_END=102",
    ):
        assert line in lines


def test_two_ports_in_a_row_are_no_range() -> None:
    lines = environment("w", "x", Target("1.2.3.4", (), ("100/tcp", "101/tcp")))
    assert not [line for line in lines if "START" in line]


def test_tcp_comes_before_udp_of_the_same_number() -> None:
    assert environment("w", "x", Target("1.2.3.4", (), ("53/udp", "53/tcp")))[0] == "X_PORT=tcp://1.2.3.4:53"


def test_a_variable_cannot_smuggle_in_another() -> None:
    lines = environment("w", "x", Target("1.2.3.4", ("A=1\nEVIL=1", "B C=2", "=3", "NOVALUE"), ()))
    assert lines == ("X_NAME=/w/x", "X_ENV_A=1\nEVIL=1")


def test_the_recorded_hosts_file() -> None:
    text = hosts_file((("172.17.0.2", ("db", "41b079e4b94b", "redis")), ("172.17.0.4", ("503e82d9657a",))))
    assert text == STANDARD_HOSTS + "172.17.0.2\tdb 41b079e4b94b redis\n172.17.0.4\t503e82d9657a\n"


@pytest.mark.parametrize("word", ["", "a b", "a\nb", "a\tb", "#a", "a\0"])
def test_nothing_breaks_out_of_a_hosts_line(word: str) -> None:
    with pytest.raises(ValueError, match="not a host name"):
        hosts_file((("172.17.0.2", (word,)),))
