"""Root file systems that somebody else made, some of them to get out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from devbox.container.spec.configjson import MountEntry
from devbox.container.spec.rootfs import Prepared, prepare
from devbox.errors import (
    CommandNotFoundError,
    DevboxError,
    NotExecutableError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from devbox.model.container import Container, ContainerConfig

Prepare = Callable[..., Prepared]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small image: /bin/sh, a user `web`, and /srv as a link to /data."""
    root = tmp_path / "rootfs"
    for name in ("bin", "etc", "data", "tmp"):
        (root / name).mkdir(parents=True)
    (root / "bin/sh").touch(mode=0o755)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/home/web:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nwww:x:34:\nmedia:x:40:web,other\n")
    (root / "srv").symlink_to("/data")
    return root


@pytest.fixture
def prepared(root: Path) -> Prepare:
    def run(*mounts: MountEntry, **config: object) -> Prepared:
        wanted = ContainerConfig(command=("sh",))._replace(**config)  # type: ignore[arg-type]
        return prepare(str(root), Container("f" * 64, "c", 0.0, "sha256:0", "i", wanted), mounts)

    return run


def bind(source: Path, target: str, *options: str) -> MountEntry:
    return MountEntry(str(source), target, "bind", ("rbind", *options))


def tmpfs(target: str) -> MountEntry:
    return MountEntry("tmpfs", target, "tmpfs", ())


def test_missing_system_directories_are_made(root: Path, prepared: Prepare) -> None:
    prepared()
    for name in ("dev", "proc", "sys", "etc"):
        assert (root / name).is_dir()
        assert (root / name).stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "etc"])
def test_a_link_in_place_of_a_system_directory_is_refused(root: Path, prepared: Prepare, name: str) -> None:
    if name == "etc":
        (root / "etc").rename(root / "real")
        (root / "etc").symlink_to("/real")
    else:
        (root / name).symlink_to("/tmp")
    with pytest.raises(RefusedError, match=f"/{name} of the image is not a directory"):
        prepared()


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_a_file_in_place_of_a_system_directory_is_refused(root: Path, prepared: Prepare, name: str) -> None:
    (root / name).touch()
    with pytest.raises(RefusedError):
        prepared()


class TestUser:
    def test_root_by_default(self, prepared: Prepare) -> None:
        user = prepared().user
        assert (user.uid, user.gid, user.groups, user.home) == (0, 0, (0,), "/root")

    def test_a_name_brings_its_groups(self, prepared: Prepare) -> None:
        user = prepared(user="web").user
        assert (user.uid, user.gid, user.groups, user.home) == (33, 34, (34, 40), "/home/web")

    def test_a_number_that_has_an_entry_is_that_user(self, prepared: Prepare) -> None:
        assert prepared(user="33").user == prepared(user="web").user

    def test_an_explicit_group_replaces_all_others(self, prepared: Prepare) -> None:
        user = prepared(user="web:media").user
        assert (user.gid, user.groups) == (40, (40,))

    def test_group_add_takes_names_and_numbers(self, prepared: Prepare) -> None:
        assert prepared(group_add=("media", "77")).user.groups == (0, 40, 77)

    def test_a_number_needs_no_entry(self, prepared: Prepare) -> None:
        user = prepared(user="4000:5000").user
        assert (user.uid, user.gid, user.home) == (4000, 5000, "/")

    @pytest.mark.parametrize(("user", "word"), [("nobody", "user nobody"), ("web:nogroup", "group nogroup")])
    def test_a_name_does(self, prepared: Prepare, user: str, word: str) -> None:
        with pytest.raises(NotFoundError, match=word):
            prepared(user=user)

    @pytest.mark.parametrize("user", ["4294967295", "2147483648", "0:4294967295", "99999999999999999999"])
    def test_numbers_that_the_runtime_would_take_for_root(self, prepared: Prepare, user: str) -> None:
        with pytest.raises(UsageError, match="too large"):
            prepared(user=user)

    @pytest.mark.parametrize("uid", ["4294967295", "-1", "2147483648", "", "0x0", "\u0661"])
    def test_an_entry_with_such_a_number_is_no_entry(self, root: Path, prepared: Prepare, uid: str) -> None:
        (root / "etc/passwd").write_text(f"evil:x:{uid}:0::/:/bin/sh\n")
        with pytest.raises(NotFoundError):
            prepared(user="evil")

    def test_nobody_waits_for_a_fifo(self, root: Path, prepared: Prepare) -> None:
        (root / "etc/passwd").unlink()
        os.mkfifo(root / "etc/passwd")
        with pytest.raises(RefusedError, match="not a regular file"):
            prepared()

    def test_a_link_to_a_fifo(self, root: Path, prepared: Prepare) -> None:
        os.mkfifo(root / "tmp/fifo")
        (root / "etc/group").unlink()
        (root / "etc/group").symlink_to("/tmp/fifo")
        with pytest.raises(RefusedError, match="not a regular file"):
            prepared()

    def test_a_huge_file(self, root: Path, prepared: Prepare) -> None:
        os.truncate(root / "etc/passwd", 1 << 40)
        with pytest.raises(RefusedError, match="larger than 4 MiB"):
            prepared()

    def test_a_link_stays_inside(self, root: Path, prepared: Prepare, tmp_path: Path) -> None:
        (tmp_path / "passwd").write_text("host:x:7:7::/:/bin/sh\n")
        (root / "etc/passwd").unlink()
        (root / "etc/passwd").symlink_to("../../../../../.." + str(tmp_path / "passwd"))
        with pytest.raises(NotFoundError):
            prepared(user="host")

    def test_bytes_that_are_no_text(self, root: Path, prepared: Prepare) -> None:
        (root / "etc/passwd").write_bytes(
            b"\xff\xfe:x:5:5::/:\n\x00\nweb:x:33:34::/home/\xff:/bin/sh\n:::::::::\n"
        )
        assert prepared(user="web").user.uid == 33

    def test_a_home_that_is_not_absolute(self, root: Path, prepared: Prepare) -> None:
        (root / "etc/passwd").write_text("web:x:33:34::home:/bin/sh\n")
        assert prepared(user="web").user.home == "/"


class TestWorkingDirectory:
    def test_is_made_with_its_parents(self, root: Path, prepared: Prepare) -> None:
        old = os.umask(0o077)
        try:
            assert prepared(working_dir="/var/lib/app").working_dir == "/var/lib/app"
        finally:
            os.umask(old)
        assert (root / "var/lib/app").stat().st_mode & 0o777 == 0o755

    def test_through_a_link_is_where_the_link_leads(self, root: Path, prepared: Prepare) -> None:
        assert prepared(working_dir="/srv/app").working_dir == "/data/app"
        assert (root / "data/app").is_dir()

    def test_a_dangling_link_is_followed_inside(self, root: Path, prepared: Prepare, tmp_path: Path) -> None:
        (root / "work").symlink_to(f"../../..{tmp_path}/outside")
        assert prepared(working_dir="/work").working_dir == f"{tmp_path}/outside"
        assert not (tmp_path / "outside").exists()
        assert (root / str(tmp_path)[1:] / "outside").is_dir()

    @pytest.mark.parametrize("place", ["/proc/self/fd/7", "/proc/1/root", "/dev/fd/3", "/proc/self/cwd/../x"])
    def test_what_the_runtime_has_open_is_refused(self, root: Path, prepared: Prepare, place: str) -> None:
        (root / "w").symlink_to(place)
        for path in ("/w", "/w/deeper", place):
            with pytest.raises(RefusedError, match="no process may start"):
                prepared(working_dir=path)

    @pytest.mark.parametrize("place", ["/proc", "/dev", "/sys", "/dev/shm/x", "/sys/class"])
    def test_harmless_places_of_the_runtime(self, prepared: Prepare, place: str) -> None:
        assert prepared(working_dir=place).working_dir == place

    def test_a_file_in_the_way(self, root: Path, prepared: Prepare) -> None:
        with pytest.raises(RefusedError, match="not a directory"):
            prepared(working_dir="/bin/sh/x")

    def test_a_ring_of_links(self, root: Path, prepared: Prepare) -> None:
        (root / "a").symlink_to("b")
        (root / "b").symlink_to("a")
        with pytest.raises(RefusedError, match="too many"):
            prepared(working_dir="/a")

    def test_in_a_volume_is_made_there(self, root: Path, prepared: Prepare, tmp_path: Path) -> None:
        (tmp_path / "volume").mkdir()
        prepared(bind(tmp_path / "volume", "/app"), working_dir="/app/current")
        assert (tmp_path / "volume/current").is_dir()
        assert not (root / "app/current").exists()

    def test_in_a_read_only_volume_is_not_made(self, prepared: Prepare, tmp_path: Path) -> None:
        (tmp_path / "volume").mkdir()
        with pytest.raises(RefusedError):
            prepared(bind(tmp_path / "volume", "/app", "ro"), working_dir="/app/current")
        assert not (tmp_path / "volume/current").exists()


class TestMounts:
    def test_targets_are_made(self, root: Path, prepared: Prepare, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        prepared(bind(tmp_path, "/mnt/a/b"), bind(tmp_path / "file", "/mnt/c/file"), tmpfs("/cache/x"))
        assert (root / "mnt/a/b").is_dir()
        assert (root / "mnt/c/file").is_file()
        assert (root / "cache").is_dir()
        assert not (root / "cache/x").exists(), "the runtime makes it, with the mode that was asked for"

    def test_a_target_behind_a_link_is_named_by_its_real_path(self, prepared: Prepare, tmp_path: Path) -> None:
        assert [mount.target for mount in prepared(bind(tmp_path, "/srv/www")).mounts] == ["/data/www"]

    @pytest.mark.parametrize("goal", ["/", "/proc", "/proc/sys", "/sys", "proc/../proc/self", "../.."])
    def test_a_link_to_the_kernels_files_is_refused(
        self, root: Path, prepared: Prepare, tmp_path: Path, goal: str
    ) -> None:
        (root / "innocent").symlink_to(goal)
        with pytest.raises(RefusedError, match="nothing can be mounted on"):
            prepared(bind(tmp_path, "/innocent"))

    def test_a_link_out_makes_nothing_outside(self, root: Path, prepared: Prepare, tmp_path: Path) -> None:
        (root / "out").symlink_to(f"../../../../../../..{tmp_path}")
        mount = prepared(tmpfs("/out/made")).mounts[0]
        assert mount.target == f"{tmp_path}/made"
        assert not (tmp_path / "made").exists()

    def test_a_link_in_a_volume_is_seen(self, prepared: Prepare, tmp_path: Path) -> None:
        volume = tmp_path / "volume"
        volume.mkdir()
        (volume / "inner").symlink_to("/proc/sys")
        with pytest.raises(RefusedError, match="nothing can be mounted on /proc/sys"):
            prepared(bind(volume, "/app"), tmpfs("/app/inner"))

    def test_a_link_of_the_image_below_a_mount_is_hidden(
        self, root: Path, prepared: Prepare, tmp_path: Path
    ) -> None:
        (root / "app").mkdir()
        (root / "app/inner").symlink_to("/proc")
        (tmp_path / "volume").mkdir()
        targets = [
            mount.target
            for mount in prepared(bind(tmp_path / "volume", "/app"), bind(tmp_path, "/app/inner")).mounts
        ]
        assert targets == ["/app", "/app/inner"]
        assert (tmp_path / "volume/inner").is_dir()

    def test_a_place_below_a_tmpfs_is_left_to_the_runtime(
        self, root: Path, prepared: Prepare, tmp_path: Path
    ) -> None:
        prepared(tmpfs("/run"), bind(tmp_path, "/run/app"))
        assert not (root / "run").exists()

    def test_a_place_in_dev_is_left_to_the_runtime(self, root: Path, prepared: Prepare, tmp_path: Path) -> None:
        assert prepared(bind(tmp_path, "/dev/app")).mounts[0].target == "/dev/app"
        assert list((root / "dev").iterdir()) == []

    @pytest.mark.parametrize("kind", ["directory", "fifo"])
    def test_hosts_must_be_a_file(self, root: Path, prepared: Prepare, tmp_path: Path, kind: str) -> None:
        (tmp_path / "hosts").touch()
        place = root / "etc/hosts"
        place.mkdir() if kind == "directory" else os.mkfifo(place)
        with pytest.raises(RefusedError, match="/etc/hosts of the container is not a regular file"):
            prepared(bind(tmp_path / "hosts", "/etc/hosts"))

    def test_resolv_conf_as_a_dangling_link(self, root: Path, prepared: Prepare, tmp_path: Path) -> None:
        (tmp_path / "resolv.conf").touch()
        (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
        mount = prepared(bind(tmp_path / "resolv.conf", "/etc/resolv.conf")).mounts[0]
        assert mount.target == "/run/systemd/resolve/stub-resolv.conf"
        assert (root / "run/systemd/resolve/stub-resolv.conf").is_file()

    def test_hosts_as_a_link_to_proc(self, root: Path, prepared: Prepare, tmp_path: Path) -> None:
        (tmp_path / "hosts").touch()
        (root / "etc/hosts").symlink_to("/proc/self/environ")
        with pytest.raises(RefusedError):
            prepared(bind(tmp_path / "hosts", "/etc/hosts"))

    def test_a_target_longer_than_any_path(self, prepared: Prepare, tmp_path: Path) -> None:
        with pytest.raises(RefusedError):
            prepared(bind(tmp_path, "/" + "n" * 300))


class TestCommand:
    def test_is_found_in_path(self, prepared: Prepare) -> None:
        prepared(command=("sh",), env=("PATH=/nowhere:/bin",))

    def test_that_nobody_has(self, prepared: Prepare) -> None:
        with pytest.raises(CommandNotFoundError, match=r'exec: "nosuch": executable file not found in \$PATH'):
            prepared(command=("nosuch",))

    def test_with_a_path_that_does_not_exist(self, prepared: Prepare) -> None:
        with pytest.raises(
            CommandNotFoundError, match=r'exec: "/nosuch": stat /nosuch: no such file or directory'
        ):
            prepared(command=("/nosuch",))

    def test_that_is_no_program(self, prepared: Prepare) -> None:
        with pytest.raises(NotExecutableError, match=r'exec: "/etc/passwd": permission denied'):
            prepared(command=("/etc/passwd",))

    def test_that_is_a_directory(self, prepared: Prepare) -> None:
        with pytest.raises(NotExecutableError, match=r'exec: "/etc": is a directory'):
            prepared(command=("/etc",))

    def test_that_another_user_may_execute(self, root: Path, prepared: Prepare) -> None:
        (root / "bin/private").touch(mode=0o700)
        if os.geteuid() == 0:
            prepared(command=("/bin/private",))
        with pytest.raises(NotExecutableError):
            prepared(command=("/bin/private",), user="4000")

    def test_relative_to_the_working_directory(self, root: Path, prepared: Prepare) -> None:
        (root / "data/run").touch(mode=0o755)
        prepared(command=("./run",), working_dir="/srv")
        with pytest.raises(CommandNotFoundError):
            prepared(command=("./run",), working_dir="/tmp")

    def test_through_a_link_of_the_host_that_is_not_there_inside(self, root: Path, prepared: Prepare) -> None:
        (root / "bin/ls").symlink_to("/usr/bin/env")
        with pytest.raises(CommandNotFoundError):
            prepared(command=("/bin/ls",))

    def test_in_a_bind_mount(self, prepared: Prepare, tmp_path: Path) -> None:
        (tmp_path / "tool").touch(mode=0o755)
        mount = bind(tmp_path, "/opt/tools")
        prepared(mount, command=("/opt/tools/tool",))
        with pytest.raises(CommandNotFoundError):
            prepared(mount, command=("/opt/tools/other",))

    def test_hidden_by_a_tmpfs(self, prepared: Prepare) -> None:
        with pytest.raises(CommandNotFoundError):
            prepared(tmpfs("/bin"), command=("/bin/sh",))

    def test_where_only_the_runtime_knows(self, prepared: Prepare) -> None:
        prepared(command=("/proc/self/exe",))

    def test_that_is_a_fifo(self, root: Path, prepared: Prepare) -> None:
        os.mkfifo(root / "bin/pipe", 0o777)
        with pytest.raises(NotExecutableError):
            prepared(command=("/bin/pipe",))


def test_every_refusal_is_one_sentence(root: Path, prepared: Prepare) -> None:
    (root / "w").symlink_to("/proc/self/fd/3")
    with pytest.raises(DevboxError) as caught:
        prepared(working_dir="/w")
    assert "\n" not in caught.value.message
