"""Instructions with a type each: what the builder executes.

`typed.typed` reads one as written, `expanded.expanded` gives its variables their values.
"""

from typing import NamedTuple

from devbox.build.language.runmounts import RunMount
from devbox.build.language.syntax import Heredoc, Instruction
from devbox.model.container import HealthCheck


class Command(NamedTuple):
    """A line for a shell, or the words of a program."""

    words: tuple[str, ...]
    shell: bool
    """`words` is one line, which the stage's SHELL gets as its last argument"""


class Document(NamedTuple):
    """A file that a heredoc of COPY or ADD makes."""

    name: str
    content: str
    expand: bool


class Pair(NamedTuple):
    """NAME=value; `legacy` where a blank stands for the "="."""

    name: str
    value: str
    legacy: bool = False


class From(NamedTuple):
    """FROM IMAGE [AS NAME]."""

    source: Instruction
    base: str
    name: str
    platform: str


class Run(NamedTuple):
    """RUN, in a shell or directly."""

    source: Instruction
    command: Command
    heredocs: tuple[Heredoc, ...]
    raw_mounts: tuple[str, ...]
    mounts: tuple[RunMount, ...]
    """empty until it is expanded"""
    network: str
    """default, none or host"""
    security: str
    """sandbox or insecure"""
    devices: tuple[str, ...]


class Copy(NamedTuple):
    """COPY from the context, a stage, an image or a named context."""

    source: Instruction
    sources: tuple[str, ...]
    documents: tuple[Document, ...]
    destination: str
    from_: str
    chown: str
    chmod: str
    link: bool
    parents: bool
    excludes: tuple[str, ...]


class Add(NamedTuple):
    """ADD: COPY that also fetches and unpacks."""

    source: Instruction
    sources: tuple[str, ...]
    documents: tuple[Document, ...]
    destination: str
    chown: str
    chmod: str
    link: bool
    excludes: tuple[str, ...]
    checksum: str
    keep_git_dir: bool | None
    unpack: bool | None
    """None: archives from the context are unpacked, those of URLs not"""


class Env(NamedTuple):
    """ENV."""

    source: Instruction
    pairs: tuple[Pair, ...]


class Label(NamedTuple):
    """LABEL."""

    source: Instruction
    pairs: tuple[Pair, ...]


class Arg(NamedTuple):
    """ARG."""

    source: Instruction
    args: tuple[tuple[str, str | None], ...]
    """None for one without a default. They are expanded one by one (`expand_word`): each sees those before it."""


class Workdir(NamedTuple):
    """WORKDIR."""

    source: Instruction
    path: str


class User(NamedTuple):
    """USER."""

    source: Instruction
    user: str


class Expose(NamedTuple):
    """EXPOSE."""

    source: Instruction
    ports: tuple[str, ...]
    """as written; once expanded "80/tcp", ranges taken apart"""


class Volume(NamedTuple):
    """VOLUME."""

    source: Instruction
    paths: tuple[str, ...]


class Cmd(NamedTuple):
    """CMD."""

    source: Instruction
    command: Command


class Entrypoint(NamedTuple):
    """ENTRYPOINT."""

    source: Instruction
    command: Command


class Shell(NamedTuple):
    """SHELL."""

    source: Instruction
    words: tuple[str, ...]


class Healthcheck(NamedTuple):
    """HEALTHCHECK; what is not given has docker's default."""

    source: Instruction
    health: HealthCheck
    start_interval: float = 0.0


class Stopsignal(NamedTuple):
    """STOPSIGNAL."""

    source: Instruction
    signal: str


class Onbuild(NamedTuple):
    """ONBUILD."""

    source: Instruction
    expression: str
    """the instruction that a build from this image begins with, its heredocs included"""


class Maintainer(NamedTuple):
    """MAINTAINER, the old way to say LABEL org.opencontainers.image.authors."""

    source: Instruction
    author: str


Typed = (
    Add
    | Arg
    | Cmd
    | Copy
    | Entrypoint
    | Env
    | Expose
    | From
    | Healthcheck
    | Label
    | Maintainer
    | Onbuild
    | Run
    | Shell
    | Stopsignal
    | User
    | Volume
    | Workdir
)
