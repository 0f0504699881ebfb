"""Checks a git repository out: by the git program, without what a stranger's repository could make it run."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import select
import signal
import stat
from collections.abc import Callable, Mapping

from devbox.build.files.giturl import GitUrl, shown
from devbox.build.files.selection import no_check
from devbox.errors import HostError, NotFoundError, RefusedError
from devbox.system import process
from devbox.system.files import remove_tree
from devbox.system.walk import DIRECTORY, open_in_root, open_root, opened

_PATIENCE = 0.2
_PASSED_ON = (
    "HOME",
    "SSH_AUTH_SOCK",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
)
_SETTINGS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "protocol.file.allow=never"),
    *("-c", "advice.detachedHead=false"),
    *("-c", "init.defaultBranch=main"),
)


def checkout(
    url: GitUrl,
    place: str,
    environ: Mapping[str, str],
    *,
    keep_git_dir: bool = False,
    check: Callable[[], None] = no_check,
) -> str:
    """Check a repository out into an empty directory; the commit that it is.

    `environ` is the caller's: git may need their keys and proxies. Raises NotFoundError for what the remote does
    not have, RefusedError when the commit is not the one that `url` names. `check` is called while git works, and
    may raise: that ends it.
    """
    git = _Git(place, environ, check)
    git.run("init", "-q")
    commit = _fetch(git, url)
    if not commit.startswith(url.commit):
        raise RefusedError(
            f"expected commit {url.commit} of {shown(url.remote)}, got {commit}",
            hint="the reference was moved, or the checksum is wrong",
        )
    git.run("checkout", "-q", "--detach", commit)
    if url.submodules and os.path.lexists(f"{place}/.gitmodules"):
        git.run("submodule", "-q", "update", "--init", "--recursive", "--depth=1")
    _make_public(place)
    if not (keep_git_dir if url.keep_git_dir is None else url.keep_git_dir):
        _forget_git(place)
    return commit


def open_checkout(place: str, url: GitUrl) -> int:
    """A descriptor of the checked out directory, or of the subdirectory that the URL names."""
    with opened(open_root(place)) as top:
        try:
            with opened(open_in_root(top, url.subdir or ".", DIRECTORY)) as fd:
                return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        except OSError as error:
            raise NotFoundError(f"no directory {url.subdir} in {shown(url.remote)}") from error


def _fetch(git: _Git, url: GitUrl) -> str:
    """Fetch as little as the remote allows; the commit."""
    ref = url.ref or "HEAD"
    shallow = git.attempt("fetch", "-q", "--depth=1", "--", url.remote, ref)
    if shallow is None:
        return git.run("rev-parse", "--verify", "FETCH_HEAD^{commit}")
    # a short commit, a server that gives none by id, or one that cannot be shallow
    everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*", "+HEAD:refs/devbox/head")
    whole = git.attempt("fetch", "-q", "--", url.remote, *everything)
    if whole is not None:
        raise _failed(url, whole)
    for name in ("refs/devbox/head",) if not url.ref else (f"refs/remotes/origin/{ref}", ref):
        commit = git.answer("rev-parse", "-q", "--verify", f"{name}^{{commit}}")
        if commit:
            return commit
    raise NotFoundError(f"repository {shown(url.remote)} does not have the reference {ref}")


def _failed(url: GitUrl, output: str) -> HostError:
    last = shown(output.strip().splitlines()[-1] if output.strip() else "it says nothing")
    return HostError(f"cannot fetch {shown(url.remote)}: {last}", hint="does 'git ls-remote' of it work here?")


def _make_public(place: str) -> None:
    """Give all the modes that git knows: those of files in an image must not depend on a builder's umask."""
    for directory, _, files in os.walk(place):
        os.chmod(directory, 0o755)
        for name in files:
            path = f"{directory}/{name}"
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                os.chmod(path, 0o755 if mode & stat.S_IXUSR else 0o644)


def _forget_git(place: str) -> None:
    remove_tree(f"{place}/.git")
    for directory, directories, files in os.walk(place):
        if directory != place and ".git" in files:  # of a submodule: a file that says where its repository was
            os.unlink(f"{directory}/.git")
        directories[:] = [name for name in directories if not os.path.islink(f"{directory}/{name}")]


class _Git:
    def __init__(self, place: str, environ: Mapping[str, str], check: Callable[[], None]) -> None:
        self._place = place
        self._check = check
        passed = {name: environ[name] for name in _PASSED_ON if name in environ}
        self._env = process.minimal_environment(
            {**passed, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_LFS_SKIP_SMUDGE": "1"}
        )

    def _result(self, arguments: tuple[str, ...]) -> process.Result:
        argv = ("git", *_SETTINGS, "-C", self._place, *arguments)
        running = process.start(argv, env=self._env)
        try:
            output = self._output(running.output)
        except BaseException:
            os.kill(running.pid, signal.SIGTERM)
            process.finish(running)
            raise
        return process.finish(running)._replace(output=output)

    def _output(self, pipe: int) -> bytes:
        """All that git prints, with a look every now and then at whether it is still wanted."""
        chunks: list[bytes] = []
        while True:
            self._check()
            if select.select([pipe], [], [], _PATIENCE)[0]:
                chunk = os.read(pipe, 65536)
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)

    def run(self, *arguments: str) -> str:
        """What git prints; HostError when it fails."""
        result = self._result(arguments)
        output = result.output.decode(errors="replace").strip()
        if result.status != 0:
            raise HostError(f"git {arguments[0]} failed: {shown(output)}")
        return output

    def attempt(self, *arguments: str) -> str | None:
        """None for success, else what git prints."""
        result = self._result(arguments)
        return None if result.status == 0 else result.output.decode(errors="replace")

    def answer(self, *arguments: str) -> str:
        """What git prints, "" when it fails."""
        result = self._result(arguments)
        return result.output.decode(errors="replace").strip() if result.status == 0 else ""
