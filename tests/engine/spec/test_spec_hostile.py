"""Images with links in the wrong places, as the runtime meets them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from devbox.errors import RefusedError
from devbox.model.container import Container
from devbox.model.mount import Mount

Lab = Any


def shell(lab: Lab, script: str, **config: Any) -> tuple[Container, Path]:
    container = lab.container("sh", "-c", script, **config)
    return container, Path(lab.rootfs(container))


def test_resolv_conf_is_a_dangling_link(lab: Lab) -> None:
    container, root = shell(lab, "cat /etc/resolv.conf; cat /run/systemd/resolve/stub-resolv.conf")
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    assert lab.run(container).out == "our resolv.conf\n" * 2


def test_the_same_below_a_tmpfs(lab: Lab) -> None:
    container, root = shell(lab, "cat /etc/resolv.conf; ls /run", mounts=(Mount("tmpfs", "/run"),))
    (root / "etc/resolv.conf").symlink_to("/run/resolv.conf")
    assert lab.run(container).out == "our resolv.conf\nresolv.conf\n"
    assert not (root / "run").exists() or not list((root / "run").iterdir())


def test_hosts_leads_out_of_the_root(lab: Lab, tmp_path: Path) -> None:
    container, root = shell(lab, "cat /etc/hosts")
    outside = tmp_path / "outside"
    outside.write_text("of the host\n")
    (root / "etc/hosts").symlink_to("../" * 30 + str(outside)[1:])
    assert lab.run(container).out == "our hosts\n"
    assert outside.read_text() == "of the host\n"


def test_the_working_directory_is_a_link(lab: Lab, tmp_path: Path) -> None:
    container, root = shell(lab, "pwd -P; touch made", working_dir="/linked/deep")
    (root / "linked").symlink_to("../../../" + str(tmp_path))
    assert lab.run(container).out == f"{tmp_path}/deep\n"
    assert not (tmp_path / "deep").exists()
    assert (root / str(tmp_path)[1:] / "deep/made").exists()


@pytest.mark.parametrize("number", range(3, 12))
def test_the_working_directory_is_what_the_runtime_has_open(lab: Lab, number: int) -> None:
    container, root = shell(lab, "ls ../../..", working_dir="/w")
    (root / "w").symlink_to(f"/proc/self/fd/{number}")
    with pytest.raises(RefusedError):
        lab.run(container)


def test_a_volume_has_a_link_where_another_mount_goes(lab: Lab, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "real").mkdir(parents=True)
    (volume / "link").symlink_to("/vol/real")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/content").touch()
    mounts = (Mount("bind", "/vol", str(volume)), Mount("bind", "/vol/link", str(tmp_path / "x")))
    assert lab.sh("ls /vol/real", mounts=mounts).out == "content\n"
    (volume / "link").unlink()
    (volume / "link").symlink_to("/proc")
    with pytest.raises(RefusedError, match="nothing can be mounted on /proc"):
        lab.sh("ls /vol/real", mounts=mounts)


def test_init_goes_where_sbin_leads(lab: Lab) -> None:
    container, root = shell(lab, "cat /proc/1/comm; ls /usr/sbin", init=True)
    (root / "usr/sbin").mkdir(parents=True)
    (root / "sbin").symlink_to("usr/sbin")
    assert lab.run(container).out == "docker-init\ndocker-init\n"


def test_no_network_file_is_there(lab: Lab) -> None:
    container, root = shell(lab, "cat /etc/hostname; echo changed > /etc/hostname")
    assert not (root / "etc/hostname").exists()
    assert lab.run(container).out == "our hostname\n"
    assert Path(lab.root.container(container.id), "hostname").read_text() == "changed\n"
    assert (root / "etc/hostname").read_text() == ""


def test_a_private_umask_of_the_caller_is_not_the_containers(lab: Lab) -> None:
    before = os.umask(0o077)
    try:
        done = lab.sh(
            "umask; ls -ld /srv/app | cut -c1-10; touch /tmp/x; ls -l /tmp/x | cut -c1-10", working_dir="/srv/app"
        )
    finally:
        os.umask(before)
    assert done.out == "0022\ndrwxr-xr-x\n-rw-r--r--\n"
