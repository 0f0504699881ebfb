"""Config documents from strangers."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devbox.errors import RefusedError, UsageError
from devbox.image import config, strictjson
from devbox.model.container import HealthCheck
from devbox.model.image import HistoryEntry

LAYER = "sha256:" + "a" * 64


def document(inner: Any = None, **outer: Any) -> bytes:
    fields = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [LAYER]}}
    return json.dumps({**fields, "config": inner, **outer}).encode()


def test_all_that_docker_writes() -> None:
    read = config.parse(
        document(
            {
                "Cmd": ["sh", "-c", "ü"],
                "Entrypoint": "one word",
                "Env": ["A=1", "B=", "nonsense", "=x"],
                "WorkingDir": "/w",
                "User": "1:2",
                "ExposedPorts": {"80": {}, "53/udp": {}, "90-91/tcp": {}},
                "Volumes": {"/data/": {}, "//b/./c": {}},
                "Labels": {"k": "v"},
                "StopSignal": "SIGINT",
                "Healthcheck": {"Test": ["CMD", "x"], "Interval": 2_500_000_000, "Retries": 7},
                "Shell": ["/bin/bash", "-c"],
                "OnBuild": ["RUN true"],
                "Hostname": "ignored",
            },
            created="2024-02-29T12:00:00.5Z",
            author="me",
            history=[{"created_by": "RUN x", "empty_layer": True}, {}],
        )
    )
    assert read.config.command == ("sh", "-c", "ü")
    assert read.config.entrypoint == ("one word",)
    assert read.config.env == ("A=1", "B=")
    assert read.config.exposed == ("53/udp", "80/tcp", "90/tcp", "91/tcp")
    assert read.config.volumes == ("/data", "/b/c")
    assert read.config.health == HealthCheck(("CMD", "x"), interval=2.5, retries=7)
    assert read.created == 1709208000.5
    assert read.history == (HistoryEntry(created_by="RUN x", empty_layer=True), HistoryEntry())


def test_ranges_of_ports_do_not_add_up_for_ever() -> None:
    every: dict[str, Any] = {f"1-65535/{protocol}": {} for protocol in ("tcp", "udp", "sctp")}
    assert len(config.parse(document({"ExposedPorts": every})).config.exposed) == 3 * 65535
    with pytest.raises(RefusedError, match="exposes more than"):
        config.parse(document({"ExposedPorts": {**every, "1-65534": {}}}))


def test_nulls_are_nothing() -> None:
    keys = ("Cmd", "Env", "Labels", "Volumes", "ExposedPorts", "Entrypoint", "Healthcheck", "OnBuild", "User")
    assert config.parse(document(dict.fromkeys(keys))).config == config.parse(document({})).config


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[]", "not an object"),
        (b"{", "expecting"),
        (b"\xff{}", "UTF-8"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}", "levels"),
        (b"[" * 100_000, "levels"),
        (b'{"a": "' + b"x" * strictjson.SIZE_MAX + b'"}', "bytes"),
        (b'{"a": "\\ud800"}', "Unicode"),
        (b'{"\\udfff": 1}', "Unicode"),
        (b'{"a": ' + b"9" * 5000 + b"}", "valid JSON"),
        (document(os="windows"), "windows"),
        (document(rootfs={"diff_ids": [LAYER] * 251}), "251 layers"),
        (document(rootfs={"diff_ids": ["sha256:../../etc"]}), "digest"),
        (document(rootfs={"diff_ids": [LAYER.upper()]}), "digest"),
        (document(rootfs={"diff_ids": [7]}), "digest"),
        (document(rootfs={"diff_ids": LAYER}), "list"),
        (document({"Env": ["A=\0"]}), "NUL"),
        (document({"Env": [1]}), "Env"),
        (document({"Cmd": {"a": 1}}), "Cmd"),
        (document({"Labels": {"a": 1}}), "Labels"),
        (document({"Volumes": {"../x": {}}}), "volume"),
        (document({"Volumes": {"/a/../../x": {}}}), "volume"),
        (document({"ExposedPorts": {"65536/tcp": {}}}), "port"),
        (document({"ExposedPorts": {"80; rm": {}}}), "port"),
        (document({"User": 0}), "User"),
        (document({"Healthcheck": {"Test": ["CMD", "x"], "Interval": -1}}), "Interval"),
        (document(created="yesterday"), "time"),
        (document(created="2024-13-01T00:00:00Z"), "time"),
        (document(history=[{}] * 10_001), "history"),
        (document(history=["x"]), "history"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        config.parse(data)


def test_sixty_four_levels_are_read() -> None:
    strictjson.parse(b"[" * 64 + b"]" * 64, "it")


@given(st.datetimes(min_value=datetime.datetime(1, 1, 2), max_value=datetime.datetime(9999, 12, 30)))
@example(datetime.datetime(2000, 2, 29, 23, 59, 59, 999999))
def test_times_are_those_of_the_calendar(when: datetime.datetime) -> None:
    seconds = when.replace(tzinfo=datetime.UTC).timestamp()
    assert config.parse_time(when.isoformat() + "Z") == pytest.approx(seconds, abs=1e-4)
    assert config.parse_time(when.isoformat() + "-01:30") == pytest.approx(seconds + 5400, abs=1e-4)
    assert config.parse_time(config.format_time(seconds)) == pytest.approx(seconds, abs=1e-4)


def test_a_document_of_our_own_is_read_back_and_always_the_same() -> None:
    def compose() -> bytes:
        entry = HistoryEntry("2024-01-01T00:00:00Z", "made", empty_layer=True)
        return config.write(config.compose(created=5.25, config={"Cmd": ["x"]}, diff_ids=[LAYER], history=[entry]))

    read = config.parse(compose())
    assert (read.created, read.config.command, read.diff_ids) == (5.25, ("x",), (LAYER,))
    assert read.history[0].empty_layer
    assert compose() == compose()


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", ("amd64", "")),
        ("linux/arm/v7", ("arm", "v7")),
        ("aarch64", ("arm64", "")),
        ("Linux/X86_64", ("amd64", "")),
    ],
)
def test_platforms(text: str, platform: tuple[str, str]) -> None:
    assert config.platform_of(text) == platform


@pytest.mark.parametrize("text", ["windows/amd64", "linux", "linux/", "linux/a/b/c", "linux/am d64", ""])
def test_impossible_platforms(text: str) -> None:
    with pytest.raises(UsageError):
        config.platform_of(text)
