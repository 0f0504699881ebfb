"""Building in tests: a context from a mapping, and what a Dockerfile of a few lines becomes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.engine.conftest import Box


def context(place: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a directory; "Dockerfile" is one of them."""
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return place


class Builder:
    """Builds in one box from one directory."""

    def __init__(self, box: Box, place: Path, name: str) -> None:
        self.box = box
        self.place = place
        self.name = name
        place.mkdir(parents=True, exist_ok=True)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Add files to the context."""
        context(self.place, files)

    def __call__(self, dockerfile: str, *options: str, env: dict[str, str] | None = None) -> str:
        """Build; what was said of it. The image has the builder's name."""
        done = self.box(
            "build", "-t", self.name, "--progress", "plain", "-f", "-", *options, str(self.place),
            input=dockerfile, env=env,
        )  # fmt: skip
        return done.stderr

    def fails(self, dockerfile: str, *options: str, code: int = 1) -> str:
        """The message of a build that must fail."""
        line = ("build", "--progress", "plain", "-f", "-", *options, str(self.place))
        return self.box.fails(*line, input=dockerfile, code=code)

    def run(self, *words: str, options: tuple[str, ...] = ()) -> str:
        """What a container of the image prints."""
        return self.box.out("run", "--rm", "--network", "none", *options, self.name, *words)

    def id(self) -> str:
        """The image's id."""
        return self.box.out("image", "inspect", "-f", "{{.Id}}", self.name)


def executed(said: str) -> list[str]:
    """The titles of steps that were carried out, in the order in which they ended."""
    titles: dict[str, str] = {}
    found = []
    for line in said.splitlines():
        number, _, rest = line.partition(" ")
        if number.startswith("#") and rest.startswith("["):
            titles[number] = rest.partition("] ")[2]
        elif rest.startswith("DONE") and number in titles and not titles[number].startswith("FROM"):
            found.append(titles[number])
    return found


def leftovers(box: Box) -> list[str]:
    """Scratch directories and bundles that a build has left."""
    bundles = box.root / "run/containers"
    known = set(box.out("ps", "-aq", "--no-trunc").split())
    left = [name for name in os.listdir(bundles) if name not in known] if bundles.is_dir() else []
    return [*os.listdir(box.root / "tmp"), *left]
