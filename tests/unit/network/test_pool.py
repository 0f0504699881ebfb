from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.network import pool
from devbox.system.interfaces import Subnet

ADDRESSES = st.integers(0, 2**32 - 1)
SUBNETS = st.builds(
    lambda address, length: Subnet(address >> (32 - length) << (32 - length), length),
    ADDRESSES,
    st.integers(0, 32),
)


@given(ADDRESSES)
def test_addresses_are_written_as_the_standard_library_writes_them(address: int) -> None:
    text = str(ipaddress.IPv4Address(address))
    assert pool.format_address(address) == text
    assert pool.parse_address(text) == address


@given(st.text("0123456789.:/ a", max_size=16))
def test_what_is_an_address_is_decided_as_the_standard_library_does(text: str) -> None:
    try:
        expected = int(ipaddress.IPv4Address(text))
    except ValueError:
        with pytest.raises(UsageError):
            pool.parse_address(text)
    else:
        assert pool.parse_address(text) == expected


@given(SUBNETS, st.lists(SUBNETS, max_size=4))
def test_overlaps_are_those_of_the_standard_library(subnet: Subnet, others: list[Subnet]) -> None:
    own = ipaddress.IPv4Network(subnet)
    assert pool.overlapping(subnet, others) == [o for o in others if own.overlaps(ipaddress.IPv4Network(o))]


@given(st.lists(SUBNETS.filter(lambda subnet: subnet.prefix_length > 8), max_size=6))
def test_a_chosen_subnet_overlaps_nothing(taken: list[Subnet]) -> None:
    chosen = pool.choose_subnet(taken)
    assert chosen is None or not pool.overlapping(chosen, taken)


def test_subnets_come_in_dockers_order() -> None:
    taken: list[Subnet] = []
    chosen = []
    while (subnet := pool.choose_subnet(taken)) is not None:
        taken.append(subnet)
        chosen.append(pool.format_subnet(subnet))
    assert chosen[:2] == ["172.17.0.0/16", "172.18.0.0/16"]
    assert chosen[14:16] == ["172.31.0.0/16", "192.168.0.0/20"]
    assert len(chosen) == 31


def test_addresses_are_given_lowest_first_and_never_the_edges() -> None:
    subnet = pool.parse_subnet("10.0.0.0/30")
    first, second = pool.parse_address("10.0.0.1"), pool.parse_address("10.0.0.2")
    assert pool.choose_address(subnet, ()) == first
    assert pool.choose_address(subnet, {first}) == second
    assert pool.choose_address(subnet, {first, second}) is None


def test_a_range_limits_what_is_given() -> None:
    subnet, within = pool.parse_subnet("10.0.0.0/16"), pool.parse_cidr("10.0.5.0/31")
    first = pool.choose_address(subnet, (), within)
    assert first is not None
    assert pool.format_address(first) == "10.0.5.0"
    assert pool.choose_address(subnet, {first, first + 1}, within) is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10.0.0.0", "10.20.0.0/16"),
        ("10.0.0.5/24", "10.0.0.0/24"),
        ("10.0.0.0/31", "prefix length"),
        ("10.0.0.0/7", "10.0.0.0/7"),
        ("0.0.0.0/8", "meaning"),
        ("127.0.0.0/16", "meaning"),
        ("224.0.0.0/16", "meaning"),
        ("fd00::/64", "IPv4 only"),
        ("10.0.0/24", ""),
        ("10.0.0.0/24/", ""),
        ("10.0.0.0/ 24", ""),
    ],
)
def test_a_bad_subnet_is_refused(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        pool.parse_subnet(text)
    assert hint in caught.value.hint or hint in caught.value.message
