from __future__ import annotations

import json

import pytest

from devbox.errors import StoreError
from devbox.model.codec import dump_config, load_config
from devbox.model.container import ContainerConfig, Device, HealthCheck, Resources, RestartPolicy, Ulimit
from devbox.model.mount import Mount
from devbox.model.network import EndpointWish, PortWish


def test_defaults_take_no_room() -> None:
    assert dump_config(ContainerConfig()) == "{}"
    assert load_config("{}") == ContainerConfig()


def test_every_kind_of_field_survives() -> None:
    config = ContainerConfig(
        command=("sh", "-c", "echo 'a b'"),
        env=("A=1", "B=\n$()"),
        labels={"team": "x"},
        tty=True,
        health=HealthCheck(("CMD", "true"), retries=5),
        mounts=(Mount("volume", "/data", "data", labels=(("a", "b"),)), Mount("tmpfs", "/tmp", tmpfs_mode=0o1777)),
        devices=(Device("/dev/null", "/dev/x"),),
        endpoints=(EndpointWish("bridge", ("web", "db")),),
        ports=(PortWish(80, "tcp", 8080),),
        resources=Resources(memory=1 << 30, cpus=1.5, pids_limit=None),
        ulimits=(Ulimit("nofile", 1024, -1),),
        restart=RestartPolicy("on-failure", 3),
    )
    assert load_config(dump_config(config)) == config


def test_a_field_that_a_later_version_added_has_its_default() -> None:
    document = json.loads(dump_config(ContainerConfig(user="me", tty=True)))
    del document["tty"]
    assert load_config(json.dumps(document)) == ContainerConfig(user="me")


def test_a_field_of_a_later_version_is_told_of() -> None:
    with pytest.raises(StoreError, match="newer devbox"):
        load_config('{"user": "me", "hologram": true}')
