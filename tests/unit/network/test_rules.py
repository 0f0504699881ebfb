from __future__ import annotations

from devbox.network import rules

SIDES = (rules.Side("db0", "172.17.0.0/16", False, True), rules.Side("db1", "10.0.0.0/24", True, False))


def test_ports_of_every_address_and_of_one_go_to_different_maps() -> None:
    everywhere = rules.Published("tcp", "0.0.0.0", 8080, "172.17.0.2", 80)
    assert rules.element(everywhere) == "published { tcp . 8080 : 172.17.0.2 . 80 }"
    local = everywhere._replace(host_address="127.0.0.1", protocol="udp")
    assert rules.element(local) == "published_at { 127.0.0.1 . udp . 8080 : 172.17.0.2 . 80 }"


def test_what_the_kernel_has_of_a_port() -> None:
    everywhere = rules.Published("tcp", "0.0.0.0", 8080, "172.17.0.2", 80)
    key, value = bytes.fromhex("06000000 1f900000"), bytes.fromhex("ac110002 00500000")
    assert rules.packed(everywhere) == ("published", key, value)
    local = everywhere._replace(host_address="127.0.0.1", protocol="udp")
    assert rules.packed(local) == ("published_at", bytes.fromhex("7f000001 11000000 1f900000"), value)


def test_an_internal_network_is_neither_masqueraded_nor_open() -> None:
    text = rules.whole("t", SIDES, ())
    assert 'add element ip t internal { "db1" }' in text
    assert "add element ip t outgoing { 172.17.0.0/16 }" in text


def test_a_table_without_networks_has_no_empty_element_lists() -> None:
    assert "add element" not in rules.whole("t", (), ())


def test_a_passage_is_entered_once() -> None:
    assert rules.passage("t", SIDES, jumps=False).count("jump t") == 1
    assert "jump" not in rules.passage("t", SIDES, jumps=True)
