"""Files that travel with a command because they lie in no share: as one archive there, and as one back."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from typing import IO

from devbox.errors import HostError, MachineGoneError, RefusedError
from devbox.machine.translation.wish import Fetched, Sent, Translated
from devbox.model import ignore
from devbox.model.invocation import Invocation

Run = Callable[[Invocation], int]
_LOOKED_AT = ("Dockerfile", "Dockerfile.dockerignore", ".dockerignore")
"""files that the builder reads, ignored or not"""


def run(translated: Translated, directory: str, perform: Run) -> int:
    """Run a command in a machine with all that has to be carried; `perform` runs one there on our streams."""
    if not translated.send and not translated.fetch:
        return perform(translated.invocation)
    with tempfile.TemporaryFile() as archive:
        _pack(translated, archive)
        archive.seek(0)
        with _swapped(0, archive):
            code = perform(_internal("receive", directory))
    if code:
        return code
    code = perform(translated.invocation)
    try:
        return _after(translated, directory, perform, code)
    except MachineGoneError as error:
        # as such the caller would take it for one that came before the command
        raise MachineGoneError(
            f"the command ended with {code}, then the machine was gone: {error.message}"
        ) from error


def _after(translated: Translated, directory: str, perform: Run, code: int) -> int:
    with open(os.devnull, "rb") as nothing, _swapped(0, nothing):
        if not translated.fetch:
            perform(_internal("drop", directory))
            return code
        with tempfile.TemporaryFile() as archive:
            with _swapped(1, archive):
                given = perform(_internal("give", directory))
            archive.seek(0)
            if given == 0:
                # a file that was made ready there, for cp to see one, is not the result of a cp that failed
                unpack(archive, [each for each in translated.fetch if code == 0 or each.prepare == "absent"])
    return code or given


def _internal(verb: str, directory: str) -> Invocation:
    return Invocation(("internal", verb), {"directory": directory})


def _pack(translated: Translated, archive: IO[bytes]) -> None:
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for sent in translated.send:
            place = _place(sent.guest)
            _directory(tar, os.path.dirname(place))
            try:
                tar.add(os.path.realpath(sent.host) if sent.follow else sent.host, place, filter=_kept(sent))
            except OSError as error:
                where = error.filename or sent.host
                raise HostError(f"cannot read {where}: {os.strerror(error.errno or 0).lower()}") from error
        for fetched in translated.fetch:
            place = _place(fetched.guest)
            _directory(tar, os.path.dirname(place))
            if fetched.prepare == "directory":
                _directory(tar, place)
            elif fetched.prepare != "absent":
                tar.addfile(tarfile.TarInfo(place))


def _kept(sent: Sent) -> Callable[[tarfile.TarInfo], tarfile.TarInfo | None]:
    """Leaves out what the builder would not look at, and does not read it."""
    matcher = ignore.Matcher(sent.without)
    start = len(_place(sent.guest)) + 1

    def keep(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        path = info.name[start:]
        if not path or path in _LOOKED_AT or not matcher.excluded(path):
            return info
        return info if info.isdir() and matcher.may_take_back(path) else None

    return keep


def _directory(tar: tarfile.TarFile, place: str) -> None:
    info = tarfile.TarInfo(place)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(info)


def _place(guest: str) -> str:
    """NUMBER/NAME: what is below the scratch directory."""
    return "/".join(guest.split("/")[-2:])


def unpack(archive: IO[bytes], wanted: list[Fetched]) -> None:
    """Put what came back where it belongs. A machine is not trusted: nothing leads out of the places wanted."""
    places = {_place(fetched.guest): fetched for fetched in wanted}
    try:
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for member in tar:
                names = [name for name in member.name.split("/") if name != "."]
                fetched = places.get("/".join(names[:2]))
                if fetched is not None:
                    _unpack(tar, member, fetched.host, names[2:], places)
    except tarfile.TarError as error:
        raise RefusedError(f"the machine sent back what is no archive: {error}") from error


def _unpack(
    tar: tarfile.TarFile, member: tarfile.TarInfo, base: str, names: list[str], places: dict[str, Fetched]
) -> None:
    path = _inside(base, names)
    if member.isdir():
        if not os.path.isdir(path) or (names and os.path.islink(path)):
            os.mkdir(path)
    elif member.isreg():
        stream = tar.extractfile(member)
        assert stream is not None
        _write(path, stream, member.mode)
    elif member.issym():
        _absent(path)
        os.symlink(member.linkname, path)
        return
    elif member.islnk():
        target = [name for name in member.linkname.split("/") if name != "."]
        fetched = places.get("/".join(target[:2]))
        if fetched is None:
            raise RefusedError(f"the machine sent a link out of what was asked for: {member.name}")
        _absent(path)
        os.link(_inside(fetched.host, target[2:]), path)
    else:
        raise RefusedError(f"{path} would be a device or a pipe, which is not made on this host")
    with contextlib.suppress(PermissionError):  # it was there before, and is somebody else's
        os.utime(path, (member.mtime, member.mtime))


def _inside(base: str, names: list[str]) -> str:
    """A path below a place, whose directories on the way are no links."""
    path = base
    for number, name in enumerate(names):
        if name in ("", "..") or os.sep in name or "\0" in name or (os.altsep or "/") in name:
            raise RefusedError(f"the machine sent a file with a name that leads elsewhere: {'/'.join(names)}")
        if number and not stat.S_ISDIR(os.lstat(path).st_mode):
            raise RefusedError(f"the machine sent a file that leads through a link: {'/'.join(names)}")
        path = os.path.join(path, name)
    return path


def _write(path: str, stream: IO[bytes], mode: int) -> None:
    """A file that appears as a whole; what is no regular file there is replaced, never written through."""
    fd, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with os.fdopen(fd, "wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
        os.chmod(temporary, mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _absent(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


@contextlib.contextmanager
def _swapped(number: int, file: IO[bytes]) -> Iterator[None]:
    """Another file in place of 0 or 1 for a while."""
    before = os.dup(number)
    try:
        os.dup2(file.fileno(), number)
        yield
    finally:
        os.dup2(before, number)
        os.close(before)
