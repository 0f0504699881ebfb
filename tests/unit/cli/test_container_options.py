"""Command lines of run and create, and what container they ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devbox.cli.grammars.run import COMMANDS
from devbox.cli.options import container as container_options
from devbox.cli.parse import parse
from devbox.container import records
from devbox.container.create import Request
from devbox.errors import DevboxError, HostError, NotFoundError, RefusedError, UsageError
from devbox.image import catalog, config
from devbox.model.container import Container, ContainerConfig, HealthCheck, RestartPolicy
from devbox.model.image import HistoryEntry
from devbox.model.invocation import Invocation
from devbox.model.mount import Mount
from devbox.model.network import EndpointWish, PortWish
from devbox.store.database import Store
from devbox.store.root import Root

RUN, CREATE, _, UPDATE = COMMANDS
IMAGE: dict[str, Any] = {
    "Entrypoint": ["/entry"],
    "Cmd": ["serve", "--all"],
    "Env": ["PATH=/bin", "MODE=image"],
    "WorkingDir": "srv/app",
    "User": "web",
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Volumes": {"/data": {}, "/cache": {}},
    "Labels": {"by": "image", "kept": "yes"},
    "StopSignal": "SIGINT",
    "Healthcheck": {"Test": ["CMD", "probe"], "Interval": 5_000_000_000},
}
OTHER = "c" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the images `app` and `bare`, a user network `net` and a stopped container `other`."""
    store = Store.open(Root(str(tmp_path / "state"), str(tmp_path / "state/run")))
    diff_id = "sha256:" + "1" * 64
    store.db.execute("INSERT INTO layers (id, diff_id, size, created) VALUES (1, ?, 5, 0)", (diff_id,))
    for name, members in (("app", IMAGE), ("bare", {})):
        document = config.compose(
            created=0.0, config=members, diff_ids=[diff_id], history=[HistoryEntry(comment=name)]
        )
        image = catalog.add(store, config.write(document), [1], names=[name], reason="import")
    add_network(store, "bridge", "10.98.0")
    add_network(store, "net", "10.99.0")
    other = ContainerConfig(
        hostname="others",
        mounts=(
            Mount("volume", "/data", "shared"),
            Mount("bind", "/host", str(tmp_path), read_only=True),
            Mount("tmpfs", "/t"),
        ),
    )
    with store.transaction():
        records.insert(store, Container(OTHER, "other", 0.0, image.id, "bare", other))
    return store


def add_network(store: Store, name: str, prefix: str) -> None:
    """A row without the interface that making one would make."""
    network = {
        "id": os.urandom(32).hex(),
        "name": name,
        "driver": "bridge",
        "created": 0.0,
        "subnet": f"{prefix}.0/24",
        "gateway": f"{prefix}.1",
        "bridge": f"br-{name}",
        "internal": 0,
        "labels_json": "{}",
        "options_json": "{}",
        "own_subnet": 1,
    }
    marks = ",".join("?" * len(network))
    store.db.execute(f"INSERT INTO networks ({','.join(network)}) VALUES ({marks})", [*network.values()])


Wish = Callable[..., Request]


@pytest.fixture
def wish(store: Store, tmp_path: Path) -> Wish:
    def read(*words: str, command: Any = RUN, environ: dict[str, str] | None = None) -> Request:
        return container_options.wish(store, parse(command, list(words)), environ or {}, str(tmp_path))

    return read


@pytest.fixture
def refused(wish: Wish) -> Callable[..., str]:
    def read(*words: str) -> str:
        with pytest.raises(DevboxError) as caught:
            wish(*words)
        assert "\n" not in caught.value.message
        return caught.value.message

    return read


Refused = Callable[..., str]


MALFORMED = (
    ("-w", "rel"),
    ("--stop-signal", "X"),
    ("--stop-timeout", "-2"),
    ("--group-add", "-1"),
    ("--runtime", "kata"),
    ("--restart", "sometimes"),
    ("--rm", "--restart", "always"),
    ("-a", "stdlog"),
    ("-d", "-a", "stdout"),
    ("--init", "--pid", "host"),
    ("--userns", "private"),
    ("--no-healthcheck", "--health-cmd", "x"),
    ("--hostname", "a b"),
    ("--pull", "maybe"),
    ("--shm-size", "x"),
    ("--log-driver", "syslog"),
    ("--tmpfs", "/"),
    ("-v", "/x:/proc/y"),
    ("--cap-add", "FLY"),
    ("--security-opt", "x"),
    ("--sysctl", "vm.x=1"),
    ("--ulimit", "x"),
    ("--ulimit", "nofile=63"),
    ("--ulimit", "fsize=1000:-1"),
    ("--cpus", "100000"),
    ("--memory", "1k"),
    ("--memory", "64m", "--memory-swap", "8m"),
    ("--network-alias", "x"),
    ("--ip", "1.2.3.4"),
    ("--mac-address", "x"),
    ("--mac-address", "03:00:00:00:00:01"),
    ("--dns", "x"),
    ("--dns-search", "a b"),
    ("--dns-option", "a\nb"),
    ("--add-host", "x"),
    ("-p", "x"),
    ("--expose", "x"),
    ("--link", ":"),
    ("--link", "other:a", "--link", "other:a"),
    ("-e", "=x"),
    ("-l", "=x"),
    ("--uts", "host", "--hostname", "x"),
    ("--uts", "x"),
    ("--uts", "private"),
    ("--uts", "container:other", "--domainname", "x"),
    ("--ipc", "x"),
    ("--pid", "x"),
    ("--pid", "container:"),
    ("--network", "container:"),
    ("--label-file", "nosuch"),
    ("--env-file", "nosuch"),
    ("--device", "x"),
    ("--volumes-from", "other:x"),
    ("--mount", "type=x,target=/a"),
    ("-v", "/a:/x", "--tmpfs", "/x"),
)


class TestCommand:
    @pytest.mark.parametrize(
        ("words", "entrypoint", "command"),
        [
            (("app",), ("/entry",), ("serve", "--all")),
            (("app", "sh", "-c", "x"), ("/entry",), ("sh", "-c", "x")),
            (("--entrypoint", "/bin/sh", "app"), ("/bin/sh",), ()),
            (("--entrypoint", "/bin/sh", "app", "-c", "x"), ("/bin/sh",), ("-c", "x")),
            (("--entrypoint", "", "app", "sh"), (), ("sh",)),
            (("bare", "sh"), (), ("sh",)),
        ],
    )
    def test_entry_point_and_command(
        self, wish: Wish, words: tuple[str, ...], entrypoint: tuple[str, ...], command: tuple[str, ...]
    ) -> None:
        wanted = wish(*words).config
        assert (wanted.entrypoint, wanted.command) == (entrypoint, command)

    @pytest.mark.parametrize("words", [("bare",), ("--entrypoint", "", "app"), ("bare", "")])
    def test_there_must_be_one(self, refused: Refused, words: tuple[str, ...]) -> None:
        assert "command" in refused(*words)

    def test_the_rest_of_the_process_is_the_images(self, wish: Wish) -> None:
        wanted = wish("app").config
        assert (wanted.user, wanted.working_dir, wanted.stop_signal) == ("web", "/srv/app", "SIGINT")
        assert wanted.health == HealthCheck(("CMD", "probe"), interval=5.0)

    def test_or_the_users(self, wish: Wish) -> None:
        wanted = wish("-u", "7:8", "-w", "/a/../b", "--stop-signal", "9", "--no-healthcheck", "app").config
        assert (wanted.user, wanted.working_dir, wanted.stop_signal, wanted.health) == ("7:8", "/b", "9", None)

    @pytest.mark.parametrize("user", ["4294967295", "-1", "0:2147483648", ":5"])
    def test_ids_that_are_none(self, refused: Refused, user: str) -> None:
        refused(f"--user={user}", "bare", "sh")

    @pytest.mark.parametrize("words", MALFORMED)
    def test_every_other_malformed_value(self, wish: Wish, words: tuple[str, ...]) -> None:
        with pytest.raises(UsageError):
            wish(*words, "bare", "sh")

    def test_streams(self, wish: Wish) -> None:
        wanted = wish("-it", "bare", "sh").config
        assert wanted.tty
        assert wanted.open_stdin
        assert wanted.stdin_once
        assert not wish("-dit", "bare", "sh").config.stdin_once
        assert wish("-i", "bare", "sh", command=CREATE).config.stdin_once, "`start -ai` ends it"
        assert not wish("-i", "-a", "stdout", "bare", "sh").config.stdin_once

    def test_life(self, wish: Wish) -> None:
        wanted = wish("--restart", "on-failure:3", "--init", "--name", "n", "--stop-timeout", "3", "bare", "sh")
        assert wanted.name == "n"
        assert wanted.config.restart == RestartPolicy("on-failure", 3)
        assert wanted.config.init
        assert wanted.config.stop_timeout == 3
        assert wish("-d", "--rm", "bare", "sh").config.auto_remove


class TestImage:
    def test_one_that_is_not_there(self, wish: Wish) -> None:
        with pytest.raises(NotFoundError, match="no such image: nosuch") as caught:
            wish("--pull", "never", "nosuch", "sh")
        assert "devbox load" in caught.value.hint

    def test_the_platform_must_match(self, wish: Wish, refused: Refused) -> None:
        own = config.architecture()
        assert wish("--platform", f"linux/{own}", "app").config.platform == f"linux/{own}"
        assert "is not for the platform" in refused("--pull", "never", "--platform", "linux/sparc", "app")


class TestEnvironment:
    def test_image_then_file_then_option(self, wish: Wish, tmp_path: Path) -> None:
        (tmp_path / "env").write_text("MODE=file\nA=file\nB=file\n# no\n")
        env = wish("--env-file", "env", "-e", "A=option", "app").config.env
        assert env == ("PATH=/bin", "MODE=file", "A=option", "B=file")

    def test_a_bare_name_is_taken_from_here(self, wish: Wish) -> None:
        assert "TOKEN=1" in wish("-e", "TOKEN", "app", environ={"TOKEN": "1"}).config.env

    def test_a_bare_name_that_is_not_set_here_goes(self, wish: Wish) -> None:
        assert wish("-e", "MODE", "app").config.env == ("PATH=/bin",)
        assert wish("-e", "MODE=own", "-e", "MODE", "app").config.env == ("PATH=/bin", "MODE=own")

    def test_labels(self, wish: Wish, tmp_path: Path) -> None:
        (tmp_path / "labels").write_text("by=file\nx=file\n")
        labels = wish("--label-file", "labels", "-l", "x=option", "app").config.labels
        assert labels == {"by": "file", "kept": "yes", "x": "option"}


class TestMounts:
    def targets(self, request: Request) -> dict[str, Mount]:
        return {mount.target: mount for mount in request.config.mounts}

    def test_volumes_of_the_image_are_anonymous(self, wish: Wish) -> None:
        mounts = self.targets(wish("app"))
        assert mounts.keys() == {"/data", "/cache"}
        assert all(mount.anonymous and mount.kind == "volume" for mount in mounts.values())

    def test_unless_they_are_covered(self, wish: Wish) -> None:
        mounts = self.targets(wish("-v", "mine:/data", "--tmpfs", "/cache", "app"))
        assert mounts["/data"].source == "mine"
        assert mounts["/cache"].kind == "tmpfs"
        assert len(mounts) == 2

    def test_volumes_of_another_container(self, wish: Wish) -> None:
        mounts = self.targets(wish("--volumes-from", "other", "app"))
        assert mounts["/data"].source == "shared"
        assert not mounts["/data"].read_only
        assert mounts["/host"].read_only
        assert "/t" not in mounts

    def test_read_only(self, wish: Wish) -> None:
        assert self.targets(wish("--volumes-from", "other:ro", "bare", "sh"))["/data"].read_only

    def test_own_ones_win(self, wish: Wish) -> None:
        assert self.targets(wish("--volumes-from", "other", "-v", "mine:/data", "app"))["/data"].source == "mine"

    def test_a_missing_source_of_mount(self, refused: Refused, tmp_path: Path) -> None:
        assert "does not exist" in refused("--mount", f"type=bind,src={tmp_path}/no,dst=/x", "app")

    def test_a_missing_source_of_v_is_for_later(self, wish: Wish, tmp_path: Path) -> None:
        assert self.targets(wish("-v", "./no:/x", "bare", "sh"))["/x"].source == f"{tmp_path}/no"
        assert not (tmp_path / "no").exists()

    def test_devices(self, wish: Wish, refused: Refused) -> None:
        assert wish("--device", "/dev/null:/dev/nil:r", "app").config.devices[0].target == "/dev/nil"
        assert "/dev/nosuch" in refused("--device", "/dev/nosuch", "app")
        assert "is not a device" in refused("--device", "/etc/passwd", "app")


class TestNetwork:
    def test_the_default_bridge(self, wish: Wish) -> None:
        wanted = wish("bare", "sh").config
        assert (wanted.network_mode, wanted.endpoints) == ("bridge", (EndpointWish("bridge"),))
        assert wanted.hostname == ""

    @pytest.mark.parametrize("mode", ["none", "host"])
    def test_none_and_the_hosts(self, wish: Wish, mode: str) -> None:
        wanted = wish("--network", mode, "bare", "sh").config
        assert (wanted.network_mode, wanted.endpoints) == (mode, ())
        assert wanted.hostname == (os.uname().nodename if mode == "host" else "")

    def test_another_containers(self, wish: Wish) -> None:
        wanted = wish("--network", "container:other", "bare", "sh").config
        assert (wanted.network_mode, wanted.endpoints, wanted.hostname) == (f"container:{OTHER}", (), "others")

    def test_networks_of_the_user(self, wish: Wish) -> None:
        wanted = wish(
            "--network", "net", "--network-alias", "db", "--ip", "10.99.0.9", "--mac-address", "02:00:00:00:00:0A",
            "bare", "sh",
        ).config  # fmt: skip
        assert wanted.network_mode == "net"
        assert wanted.endpoints == (EndpointWish("net", ("db",), "10.99.0.9", "02:00:00:00:00:0a"),)

    def test_the_long_form(self, wish: Wish) -> None:
        wanted = wish(
            "--network", "name=net,alias=a,alias=b,ip=10.99.0.7", "--network", "bridge", "bare", "sh"
        ).config
        assert wanted.endpoints == (EndpointWish("net", ("a", "b"), "10.99.0.7"), EndpointWish("bridge"))

    @pytest.mark.parametrize(
        "words",
        [
            ("--network", "host", "--network", "net"),
            ("--network", "net", "--network", "net"),
            ("--network", "nosuch"),
            ("--network", "container:nosuch"),
            ("--network", "net", "--ip", "10.98.0.1"),
            ("--network", "net", "--ip", "fe80::1"),
            ("--network", "host", "--network-alias", "x"),
            ("--network", "host", "--link", "other"),
            ("--network", "none", "-p", "80:80"),
            ("--network", "container:other", "-p", "80:80"),
            ("--network", "container:other", "-P"),
            ("--network", "container:other", "--expose", "80"),
            ("--network", "container:other", "--hostname", "x"),
            ("--network", "container:other", "--dns", "1.1.1.1"),
            ("--network", "container:other", "--add-host", "a:1.1.1.1"),
            ("--network", "container:other", "--mac-address", "02:00:00:00:00:01"),
            ("--network", "name=net,speed=9"),
            ("--network", "host", "--sysctl", "net.core.somaxconn=1"),
        ],
    )
    def test_conflicts(self, refused: Refused, words: tuple[str, ...]) -> None:
        refused(*words, "bare", "sh")

    def test_ports(self, wish: Wish) -> None:
        wanted = wish("-p", "8080:80", "-p", "9000", "--expose", "100-101", "-P", "app").config
        assert wanted.ports == (PortWish(80, "tcp", 8080), PortWish(9000))
        assert wanted.exposed == ("53/udp", "80/tcp", "100/tcp", "101/tcp", "9000/tcp")
        assert wanted.publish_all

    def test_ports_of_the_host_are_discarded_with_a_word(self, wish: Wish) -> None:
        words = ["--network", "host", "-p", "8080:80", "bare", "sh"]
        assert wish(*words).config.ports == ()
        assert "discarded" in container_options.warnings(parse(RUN, words))[0]
        assert container_options.warnings(parse(RUN, words[2:])) == ()

    def test_links(self, wish: Wish) -> None:
        assert wish("--link", "other:db", "--link", "other", "bare", "sh").links == (
            ("other", "db"),
            ("other", "other"),
        )

    def test_resolver(self, wish: Wish) -> None:
        options = ("--dns", "1.1.1.1", "--dns-search", "a.b", "--dns-option", "ndots:1", "--add-host", "x:1.2.3.4")
        wanted = wish(*options, "bare", "sh").config
        assert (wanted.dns, wanted.dns_search, wanted.dns_options) == (("1.1.1.1",), ("a.b",), ("ndots:1",))
        assert wanted.extra_hosts == ("x:1.2.3.4",)


class TestConfinement:
    def test_namespaces_of_others(self, wish: Wish) -> None:
        wanted = wish("--pid", "host", "--ipc", "container:other", "--uts", "host", "bare", "sh").config
        assert (wanted.pid_mode, wanted.ipc_mode, wanted.uts_mode) == ("host", f"container:{OTHER}", "host")
        assert wish("--uts", "container:other", "bare", "sh").config.uts_mode == f"container:{OTHER}"

    @pytest.mark.parametrize(("mode", "kept"), [("private", ""), ("shareable", "shareable")])
    def test_its_own(self, wish: Wish, mode: str, kept: str) -> None:
        assert wish("--ipc", mode, "--shm-size", "1m", "bare", "sh").config.ipc_mode == kept

    def test_a_seccomp_profile_is_read_at_once(self, wish: Wish, refused: Refused, tmp_path: Path) -> None:
        (tmp_path / "p.json").write_text('{"defaultAction":"SCMP_ACT_ALLOW"}')
        (tmp_path / "bad.json").write_text("{")
        (option,) = wish("--security-opt", "seccomp=p.json", "bare", "sh").config.security_opt
        assert option == 'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'
        assert "invalid seccomp profile" in refused("--security-opt", "seccomp=bad.json", "bare", "sh")
        assert "cannot read" in refused("--security-opt", "seccomp=nosuch.json", "bare", "sh")

    def test_a_capability_that_cannot_be_given(self, wish: Wish) -> None:
        from devbox.container.spec import capabilities
        from devbox.model.confinement_parse import CAPABILITIES

        missing = sorted(set(CAPABILITIES) - capabilities.bounding_set())
        for name in missing[:1]:
            with pytest.raises(HostError, match=name):
                wish("--cap-add", name, "bare", "sh")
        wish("--cap-add", "ALL", "bare", "sh")


class TestText:
    @pytest.mark.parametrize(
        "words", [("bare", "echo", "\udcff"), ("-e", "X=\udcff", "bare", "sh"), ("-l", "a=\udcff", "bare", "sh"),
                  ("-v", "/\udcff:/x", "bare", "sh"), ("bare", "a\0b")]
    )  # fmt: skip
    def test_bytes_that_are_none(self, refused: Refused, words: tuple[str, ...]) -> None:
        assert "is not UTF-8 text" in refused(*words)

    def test_a_variable_of_here_that_is_none(self, wish: Wish) -> None:
        with pytest.raises(RefusedError, match="text that is none"):
            wish("-e", "X", "bare", "sh", environ={"X": "\udcff"})

    def test_all_that_is(self, wish: Wish) -> None:
        words = ("sh", "gr\u00fc\u00dfe \U0001f600\n\t$(x)\\ud800")
        assert wish("bare", *words).config.command == words


class TestUpdate:
    def update(self, *words: str, **config: Any) -> ContainerConfig:
        invocation: Invocation = parse(UPDATE, [*words, "c"])
        return container_options.update(invocation, ContainerConfig()._replace(**config))

    def test_what_is_given(self) -> None:
        updated = self.update("--memory", "64m", "--restart", "always")
        assert updated.resources == ContainerConfig().resources._replace(memory=64 << 20)
        assert updated.restart == RestartPolicy("always")

    def test_nothing(self) -> None:
        assert self.update() == ContainerConfig()

    def test_a_policy_for_one_that_removes_itself(self) -> None:
        with pytest.raises(UsageError):
            self.update("--restart", "always", auto_remove=True)
