"""What makes a step the same as one that was made before (pure but for what it is told of files)."""

import sys

assert sys.platform == "linux"

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from devbox.build.caching.cache import key_of
from devbox.build.planning.steps import CopyStep, MountWish, RunStep, Source, WorkdirStep

Identify = Callable[[Source, str], str]
"""stands for what a source has at a path: a digest of files, or the key of a stage"""


def of_image(diff_ids: Sequence[str]) -> str:
    """The chain that begins with an image."""
    return hashlib.sha256("\n".join(("image", *diff_ids)).encode()).hexdigest()


def after(chain: str, result: str) -> str:
    """The chain with a further step."""
    return hashlib.sha256(f"{chain}\n{result}".encode()).hexdigest()


def of_run(step: RunStep, chain: str, moment: int, identify: Identify) -> str:
    """Everything but secrets, caches' contents, proxies and the clock."""
    fields = step._asdict()
    del fields["hidden_env"]
    fields["mounts"] = [_mount(mount, identify) for mount in step.mounts]
    return key_of("run", {"chain": chain, "moment": moment, **fields})


def _mount(mount: MountWish, identify: Identify) -> dict[str, Any]:
    fields: dict[str, Any] = {**mount._asdict(), "origin": mount.origin.kind}
    if mount.kind == "bind":
        fields["files"] = identify(mount.origin, mount.path)
    return fields


def of_workdir(step: WorkdirStep, chain: str, moment: int) -> str:
    """The same directory in the same file system."""
    return key_of("workdir", {"chain": chain, "moment": moment, **step._asdict()})


def of_copy(step: CopyStep, chain: str, moment: int, files: str) -> str:
    """The same files, told by `files`, at the same place; where it is a link, whatever is below."""
    fields: dict[str, Any] = {
        "moment": moment,
        "files": files,
        "destination": step.destination,
        "inline": step.inline,
        "owner": step.owner,
        "mode": step.mode,
        "link": step.link,
        "parents": step.parents,
        "add": (step.add, step.unpack),
    }
    if not is_apart(step):
        fields["chain"] = chain
    return key_of("copy", fields)


def is_apart(step: CopyStep) -> bool:
    """Whether its layer is made without looking at what is below: --link, and no names to be looked up there."""
    return step.link and not any(part and not part.isdigit() for part in step.owner.split(":"))


def of_selection(step: CopyStep, source: str) -> str:
    """Stands for the files of a stage or image that a COPY takes, without looking at them."""
    return key_of("selection", {"source": source, "sources": step.sources, "excludes": step.excludes})
