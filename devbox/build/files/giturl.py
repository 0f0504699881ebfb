"""Which sources are git repositories, and what their URLs say: URL#ref:subdirectory."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from devbox.build.language.suggest import did_you_mean
from devbox.errors import UsageError

_SCP = re.compile(r"[a-zA-Z0-9_.-]+@[a-zA-Z0-9.-]+:(?!//)[^#]+(?:#.*)?")
_KEYS = ("ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules")
_TRUE = ("", "1", "t", "true")
_FALSE = ("0", "f", "false")


class GitUrl(NamedTuple):
    """A repository and what of it is wanted."""

    remote: str
    ref: str = ""
    """a branch, a tag or a commit; "" for what the remote's HEAD is"""
    subdir: str = ""
    commit: str = ""
    """what the ref must be: the beginning of a commit's id"""
    keep_git_dir: bool | None = None
    submodules: bool = True


def parse(source: str) -> GitUrl | None:
    """Read a source as docker does; None when it is no repository: a path, or the URL of something else.

    Raises UsageError for a repository whose ref or query makes no sense.
    """
    text = f"https://{source}" if source.startswith("github.com/") else source
    if _SCP.fullmatch(text):
        remote, _, fragment = text.partition("#")
        return _wanted(GitUrl(remote), fragment, "")
    scheme = text.partition("://")[0].lower()
    if "://" not in text or scheme not in ("http", "https", "git", "ssh"):
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    if scheme in ("http", "https") and not (parts.path.endswith(".git") or source.startswith("github.com/")):
        return None
    return _wanted(GitUrl(parts._replace(query="", fragment="").geturl()), parts.fragment, parts.query)


def shown(url: str) -> str:
    """A URL without the password in it."""
    return re.sub(r"://[^/@]*@", "://", url)


def _wanted(url: GitUrl, fragment: str, query: str) -> GitUrl:
    ref, _, subdir = fragment.partition(":")
    url = url._replace(ref=ref, subdir=subdir)
    for key, value in parse_qsl(query, keep_blank_values=True):
        url = _with(url, key, value)
    if url.ref.startswith("-") or re.search(r"[\s\0]", url.ref + url.remote):
        raise UsageError(f"invalid git reference {url.ref!r}", hint="write URL#BRANCH, URL#TAG or URL#COMMIT")
    return url


def _with(url: GitUrl, key: str, value: str) -> GitUrl:
    match key:
        case "ref":
            return url._replace(ref=value)
        case "tag":
            return url._replace(ref=f"refs/tags/{value.removeprefix('refs/tags/')}")
        case "branch":
            return url._replace(ref=f"refs/heads/{value.removeprefix('refs/heads/')}")
        case "subdir":
            return url._replace(subdir=value)
        case "checksum" | "commit":
            return url._replace(commit=value)
        case "keep-git-dir":
            return url._replace(keep_git_dir=_boolean(key, value))
        case "submodules":
            return url._replace(submodules=_boolean(key, value))
    raise UsageError(
        f"unexpected query {key!r} in a git URL", hint=did_you_mean(key, _KEYS, f"it has {', '.join(_KEYS)}")
    )


def _boolean(key: str, value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise UsageError(f"invalid {key} value {value!r} in a git URL", hint="it is true or false")
    return value.lower() in _TRUE
