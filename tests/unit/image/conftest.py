from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devbox.image.tar.limits import Limits
from devbox.image.tar.source import Source
from devbox.image.tar.unpack import Policy, Unpacked, extract
from devbox.system import walk

Member = tuple[str, dict[str, object], bytes]


def member(name: str, data: bytes = b"", **fields: object) -> Member:
    return name, fields, data


def archive(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive as a hostile author would write it: any name, type or number."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for name, fields, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Place:
    """A directory to unpack into, beside a canary that must never change."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.outside = base / "outside"
        self.outside.mkdir()
        (self.outside / "canary").write_text("untouched")
        self.path = base / "root"
        self.path.mkdir()
        self.fd = walk.open_root(str(self.path))

    def unpack(self, data: bytes, *, limits: Limits | None = None, policy: Policy | None = None) -> Unpacked:
        (self.base / "in.tar").write_bytes(data)
        limits = limits or Limits()
        owner = None if os.getuid() == 0 else (os.getuid(), os.getgid())
        with walk.opened(os.open(self.base / "in.tar", os.O_RDONLY)) as fd:
            source = Source(fd, limit=limits.size)
            return extract(source, self.fd, limits=limits, policy=policy or Policy(owner=owner))

    def assert_outside_untouched(self) -> None:
        assert os.listdir(self.outside) == ["canary"]
        assert (self.outside / "canary").read_text() == "untouched"
        assert (self.outside / "canary").stat().st_nlink == 1
        assert sorted(os.listdir(self.base)) in (["in.tar", "outside", "root"], ["outside", "root"])


@pytest.fixture
def new_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Place]]:
    places: list[Place] = []

    def make() -> Place:
        places.append(Place(tmp_path_factory.mktemp("place")))
        return places[-1]

    yield make
    for place in places:
        place.assert_outside_untouched()
        os.close(place.fd)
        top = walk.open_root(str(place.base.parent))
        with walk.opened(top):
            walk.remove_at(top, place.base.name)


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    return new_place()


@pytest.fixture(name="tar")
def tar_writer() -> Callable[..., bytes]:
    return archive


@pytest.fixture(name="member")
def member_writer() -> Callable[..., Member]:
    return member
