"""What a build plans with and comes to: the wish, bases, stages (types only)."""

import sys

assert sys.platform == "linux"

from collections.abc import Mapping
from typing import Any, NamedTuple

from devbox.build.planning.draft import Draft
from devbox.build.planning.platforms import Platform, Platforms
from devbox.build.planning.steps import Network, Source, Step
from devbox.model.image import Image


class Base(NamedTuple):
    """An image that a stage begins with or takes files from."""

    image: Image
    document: Mapping[str, Any]
    """its config"""


class Wish(NamedTuple):
    """What the command line says about what is built."""

    target: str = ""
    arguments: Mapping[str, str] = {}
    platforms: Platforms = Platforms()
    network: Network = "default"
    hosts: tuple[str, ...] = ()
    fresh: bool = False
    """--no-cache"""
    fresh_stages: tuple[str, ...] = ()
    """--no-cache-filter"""
    contexts: frozenset[str] = frozenset()
    """names of --build-context that are directories"""
    images: Mapping[str, str] = {}
    """those that are images"""
    insecure: bool = False
    """--allow security.insecure"""
    several: bool = False
    """it is built for other platforms, too, so that titles tell which one this is"""
    host_network: bool = True


class StagePlan(NamedTuple):
    """A stage that is needed."""

    number: int
    name: str
    base: Source
    title: str
    """of its FROM, for progress"""
    steps: tuple[Step, ...]
    draft: Draft
    moment: int
    """the time that its new files get"""
    platform: Platform
    """what its programs are for"""


class Plan(NamedTuple):
    """Stages in an order in which each comes after those it needs; the last one is what is wanted."""

    stages: tuple[StagePlan, ...]
    images: Mapping[str, Base]
    """by the names that sources have (see `image_name`)"""


def image_name(reference: str, platform: Platform, platforms: Platforms) -> str:
    """The name of the source that an image is; it tells a platform that is not the usual one."""
    return reference if platform == platforms.target else f"{platform.name} {reference}"
