"""RUN: what is executed and what it sees (pure)."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import posixpath
from collections.abc import Sequence

from devbox.build.language import split
from devbox.build.language.flags import mistake
from devbox.build.language.instructions import Command, Run
from devbox.build.language.runmounts import RunMount
from devbox.build.planning.draft import Draft
from devbox.build.planning.steps import MountWish, Network, RunStep, Source


def run_step(item: Run, draft: Draft, network: Network, origins: Sequence[Source | None]) -> RunStep:
    """The step of an expanded RUN; `origins` are what its mounts' `from` mean, None where they have none."""
    command, script = _command(item)
    mounts = tuple(_mount(item, draft, mount, origin) for mount, origin in zip(item.mounts, origins, strict=True))
    return RunStep(
        arguments=tuple(draft.words(command)),
        env=draft.environment(),
        user=draft.user,
        working_dir=draft.working_dir,
        network=network,
        insecure=item.security == "insecure",
        mounts=mounts,
        script=script,
    )


def _command(item: Run) -> tuple[Command, tuple[str, str]]:
    """The command with its heredocs put in; and a script of its own, where a heredoc is one."""
    if not item.heredocs:
        return item.command, ("", "")
    (line,) = item.command.words
    if not split.heredoc(line):
        documents = (f"\n{heredoc.content}{heredoc.name}" for heredoc in item.heredocs)
        return Command((line + "".join(documents),), shell=True), ("", "")
    text = item.heredocs[0].text
    if text.startswith("#!"):
        name = item.heredocs[0].name
        return Command((f"/dev/pipes/{name}",), shell=True), (name, text)
    return Command((text,), shell=True), ("", "")


def _mount(item: Run, draft: Draft, mount: RunMount, origin: Source | None) -> MountWish:
    # what names no target is shown where the command runs; a secret or a socket has a place of its own
    target = draft.resolve(mount.target) if mount.target or mount.kind in ("bind", "cache", "tmpfs") else ""
    if target == "/":
        raise mistake(item.source, f"invalid mount target {mount.target!r}", "name a directory below /")
    wish = MountWish(
        kind=mount.kind,
        target=target,
        path=posixpath.normpath("/" + mount.origin.lstrip("/")),
        read_only=mount.readonly,
        id=mount.id,
        sharing=mount.sharing or "shared",
        mode=mount.mode,
        uid=mount.uid or 0,
        gid=mount.gid or 0,
        size=mount.size,
        required=mount.required,
    )
    match mount.kind:
        case "bind":
            return wish._replace(origin=origin or Source("context"))
        case "cache":
            return wish._replace(origin=origin or Source("empty"), id=mount.id or target)
        case "secret":
            return _secret(mount, wish)
        case "ssh":
            return wish._replace(id=mount.id or "default")
    return wish


def _secret(mount: RunMount, wish: MountWish) -> MountWish:
    name = mount.origin or mount.id or posixpath.basename(mount.target)
    env = "" if mount.env is None else mount.env or name
    target = wish.target or ("" if env else f"/run/secrets/{posixpath.basename(name)}")
    return wish._replace(id=name, env=env, target=target, path="/")
