from __future__ import annotations

import pytest

from devbox.errors import UsageError
from devbox.model.network import PortWish
from devbox.model.network_parse import parse_add_host, parse_expose, parse_link, parse_publish


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("80", [PortWish(80)]),
        ("8080:80", [PortWish(80, "tcp", 8080)]),
        ("8080:80/udp", [PortWish(80, "udp", 8080)]),
        ("8080:80/TCP", [PortWish(80, "tcp", 8080)]),
        ("127.0.0.1:8080:80", [PortWish(80, "tcp", 8080, 0, "127.0.0.1")]),
        ("127.0.0.1::80", [PortWish(80, "tcp", 0, 0, "127.0.0.1")]),
        ("127.0.0.1:0:80", [PortWish(80, "tcp", 0, 0, "127.0.0.1")]),
        ("0:80", [PortWish(80)]),
        ("8000-8001:80-81", [PortWish(80, "tcp", 8000), PortWish(81, "tcp", 8001)]),
        ("80-81", [PortWish(80), PortWish(81)]),
        ("8000-8010:80", [PortWish(80, "tcp", 8000, 8010)]),
    ],
)
def test_published_ports(text: str, wishes: list[PortWish]) -> None:
    assert list(parse_publish(text)) == wishes


@pytest.mark.parametrize(
    "text",
    ["", ":", "a", "80:", "80:x", "0", "65536", "1:70000", "81-80", "80/sctp", "80/", "127.0.0.1:80",
     "300.1.1.1:1:1", "[::1]:80:80", "8000-8002:80-81", "1:2:3:4", "-1", "80 ", "0-5:80", "\u0663:80", "999999"],
)  # fmt: skip
def test_malformed_ports_are_one_sentence_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError, match="invalid port") as caught:
        parse_publish(text)
    assert caught.value.hint


def test_exposed_ports() -> None:
    assert parse_expose("100-102/udp") == ("100/udp", "101/udp", "102/udp")
    with pytest.raises(UsageError):
        parse_expose("1:2")


def test_links() -> None:
    assert parse_link("redis:db") == ("redis", "db")
    assert parse_link("/redis") == ("/redis", "redis")


@pytest.mark.parametrize(
    "text", ["", ":db", "redis:a b", "redis:a\nb", "redis:-x", "redis:a:b", "redis:" + "x" * 64]
)
def test_an_alias_that_could_inject_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid link"):
        parse_link(text)


def test_added_hosts() -> None:
    for text in ("db:10.0.0.1", "db:::1", "db:host-gateway"):
        assert parse_add_host(text) == text
    assert parse_add_host("db=10.0.0.1") == "db:10.0.0.1"
    assert parse_add_host("db=[::1]") == "db:[::1]"
    for text in ("db", "db:", "db=", "=1.2.3.4", ":1.2.3.4", "a b:1.2.3.4", "db:1.2.3", "a\n:1.2.3.4"):
        with pytest.raises(UsageError):
            parse_add_host(text)
