"""Mounts of a container: bind mounts, named and anonymous volumes, tmpfs."""

from typing import Literal, NamedTuple

Propagation = Literal["", "private", "rprivate", "shared", "rshared", "slave", "rslave"]


class Mount(NamedTuple):
    """One mount as it was asked for, `-v`, `--mount` and `--tmpfs` alike."""

    kind: Literal["bind", "volume", "tmpfs"]
    target: str
    """absolute and normalised path in the container"""
    source: str = ""
    """bind: absolute host path; volume: its name, empty for an anonymous one not yet created; tmpfs: empty"""
    read_only: bool = False
    propagation: Propagation = ""
    create_source: bool = False
    """bind by -v: a missing directory is created, as docker does; --mount refuses"""
    no_copy: bool = False
    """volume: no copy-up of what the image has at the target"""
    recursive: bool = True
    """bind: with the mounts below it"""
    anonymous: bool = False
    tmpfs_size: int | None = None
    """bytes"""
    tmpfs_mode: int | None = None
    tmpfs_options: tuple[str, ...] = ()
    """further mount options of --tmpfs: noexec, uid=..."""
    labels: tuple[tuple[str, str], ...] = ()
    """volume: labels given to a volume that this mount creates"""
    options: tuple[tuple[str, str], ...] = ()
    """volume: driver options given to a volume that this mount creates"""
