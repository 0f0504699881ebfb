"""The steps of a build that change files, with all that they depend on; variables are expanded (types only)."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from devbox.build.language.syntax import Span

Network = Literal["default", "none", "host"]


class Source(NamedTuple):
    """Where files come from."""

    kind: Literal["context", "stage", "image", "empty"]
    name: str = ""
    """of a named context, or an image's reference"""
    stage: int = -1
    """number of the stage"""


class MountWish(NamedTuple):
    """A `RUN --mount`."""

    kind: Literal["bind", "cache", "tmpfs", "secret", "ssh"]
    target: str = ""
    """absolute; empty for a secret that is only a variable"""
    origin: Source = Source("empty")
    """bind, cache: what is shown, or what a new cache begins with"""
    path: str = "/"
    """in the origin"""
    read_only: bool = False
    id: str = ""
    sharing: Literal["shared", "private", "locked"] = "shared"
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    size: int = 0
    """tmpfs: bytes, 0 for no limit"""
    required: bool = False
    env: str = ""
    """secret: name of a variable that gets it"""


class RunStep(NamedTuple):
    """Run a command in the file system so far."""

    arguments: tuple[str, ...]
    env: tuple[str, ...]
    user: str
    working_dir: str
    network: Network
    insecure: bool = False
    mounts: tuple[MountWish, ...] = ()
    script: tuple[str, str] = ("", "")
    """name and text of a script to be executed: a heredoc that begins with "#!" """
    hosts: tuple[str, ...] = ()
    """"name:address" """
    hidden_env: tuple[str, ...] = ()
    """variables that are no part of the step's identity: proxies"""


class Inline(NamedTuple):
    """A file whose content stands in the Dockerfile."""

    name: str
    content: str


class CopyStep(NamedTuple):
    """Copy files into the file system so far."""

    origin: Source
    sources: tuple[str, ...]
    destination: str
    """absolute; a slash at its end is kept"""
    inline: tuple[Inline, ...] = ()
    owner: str = ""
    """of --chown: user[:group], numbers or names of the image being built"""
    mode: str = ""
    """of --chmod"""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    add: bool = False
    """ADD: URLs are fetched, repositories checked out, local archives unpacked"""
    unpack: bool | None = None
    """of --unpack; None: local archives are, fetched ones are not"""
    checksum: str = ""
    keep_git_dir: bool = False
    remote: bool = False
    """a source is a URL or a repository"""


class WorkdirStep(NamedTuple):
    """Make a directory unless it is there."""

    path: str
    user: str


class Step(NamedTuple):
    """One instruction of a stage that may change files."""

    action: RunStep | CopyStep | WorkdirStep
    title: str
    """as progress shows it: "[build 2/3] RUN make" """
    what: str
    """the instruction for the history and the cache's listing"""
    history: int
    """which entry of the stage's history it is"""
    span: Span
    fresh: bool = False
    """it is made anew although it is in the cache: --no-cache"""


class Given(NamedTuple):
    """What the command line gives to steps that ask for it."""

    secrets: Mapping[str, bytes] = {}
    sockets: Mapping[str, str] = {}
    """paths of SSH agents by id"""
