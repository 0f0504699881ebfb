"""Which directories of the host a machine sees, and where: from a path of one side to that of the other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from devbox.errors import UsageError
from devbox.machine.translation import hostpath

_NEEDED = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr"),
    *("/home/vagrant", "/var/lib", "/var/log"),
)
"""what a share would hide from the machine itself; /home/vagrant has the keys of its user"""
_NOT_IN = ("/proc", "/sys", "/dev")


class Share(NamedTuple):
    """A directory of the host that a machine sees."""

    host: str
    guest: str


class MountMap(NamedTuple):
    """The shares of a machine, none within another; build it with `build`."""

    platform: str
    """the host's, as sys.platform"""
    shares: tuple[Share, ...] = ()
    mirrors: tuple[Share, ...] = ()
    """directories that it has on its own disk, kept as they are here"""

    @property
    def all(self) -> tuple[Share, ...]:
        """Shares and mirrors."""
        return self.shares + self.mirrors

    def share(self, path: str) -> Share | None:
        """The share in which an absolute path of the host lies: of several, that with the longest."""
        wanted = hostpath.key(path, self.platform)
        best, length = None, -1
        for share in self.all:
            prefix = hostpath.key(share.host, self.platform)
            if wanted[: len(prefix)] == prefix and len(prefix) > length:
                best, length = share, len(prefix)
        return best

    def to_guest(self, path: str) -> str | None:
        """An absolute path of the host as the machine names it; None outside every share."""
        share = self.share(path)
        if share is None:
            return None
        below = hostpath.parts(path, self.platform)[len(hostpath.parts(share.host, self.platform)) :]
        return "/".join((share.guest.rstrip("/"), *below)) or "/"


def build(shares: Sequence[Share], platform: str, cwd: str = "") -> MountMap:
    """Check the shares against each other and the machine's needs; UsageError says which two overlap."""
    found = tuple(share._replace(host=hostpath.absolute(share.host, cwd, platform)) for share in shares)
    for number, share in enumerate(found):
        check_guest(share.guest)
        for other in found[:number]:
            _check_apart(share, other, platform)
    return MountMap(platform, found)


def check_guest(path: str) -> None:
    """Refuse to share onto what the machine needs itself."""
    hidden = next((need for need in _NEEDED if (need + "/").startswith(path.rstrip("/") + "/")), "")
    if hidden or path.startswith(tuple(place + "/" for place in _NOT_IN)):
        reason = f"it would hide {hidden}" if hidden else "that is the machine's own"
        raise UsageError(
            f"nothing can be shared onto {path} of a machine: {reason}", hint="write HOST:/ANOTHER/PATH"
        )


def _check_apart(share: Share, other: Share, platform: str) -> None:
    keys = hostpath.key(share.host, platform), hostpath.key(other.host, platform)
    guests = hostpath.key(share.guest, "linux"), hostpath.key(other.guest, "linux")
    for (one, two), names in ((keys, (share.host, other.host)), (guests, (share.guest, other.guest))):
        length = min(len(one), len(two))
        if one[:length] == two[:length]:
            inner, outer = names if len(one) >= len(two) else names[::-1]
            raise UsageError(
                f"shares may not overlap: {inner} lies in {outer}" if one != two else f"{inner} is shared twice",
                hint="the outer share is enough: its directories are in it",
            )
