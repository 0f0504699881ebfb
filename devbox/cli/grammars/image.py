"""Commands of the noun image."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, many, text
from devbox.cli.grammars.common import (
    FILTER,
    FORCE,
    FORMAT,
    FORMAT_INSPECT,
    INSECURE,
    KEEP_VERSIONS,
    NO_TRUNC,
    PRUNE_FILTER,
)

_IMAGE = "devbox.cli.commands.image:"
_LISTING = "devbox.cli.commands.image_listing:"
_REGISTRY = "devbox.cli.commands.registry:"
_VERSIONS = "devbox.cli.commands.versions:"
_MANY = (Argument("images", "+", complete="image"),)
_NAME = Argument("name", complete="image", metavar="NAME[:TAG]")

COMMANDS = (
    Command(
        ("image", "ls"),
        _LISTING + "ls",
        "List images",
        (Argument("repository", "?", complete="image", metavar="[REPOSITORY[:TAG]]"),),
        (
            flag("-a --all", "Show all images, also intermediate ones"),
            flag("--digests", "Show digests"),
            FILTER,
            FORMAT,
            NO_TRUNC,
            flag("-q --quiet", "Show ids only"),
        ),
        aliases=(("images",), ("image", "list")),
    ),
    Command(
        ("image", "tag"),
        _IMAGE + "tag",
        "Give an image a further name",
        (
            Argument("source", complete="image", metavar="IMAGE[:TAG]"),
            Argument("target", metavar="NAME[:TAG]"),
        ),
        aliases=(("tag",),),
    ),
    Command(
        ("image", "rm"),
        _IMAGE + "rm",
        "Remove one or more images",
        _MANY,
        (
            flag("-f --force", "Remove it although it has several names"),
            flag("--no-prune", "Keep untagged parents"),
        ),
        aliases=(("rmi",), ("image", "remove")),
        frees=True,
    ),
    Command(
        ("image", "history"),
        _LISTING + "history",
        "Show the layers of an image and how they were made",
        (Argument("image", complete="image"),),
        (
            FORMAT,
            flag("-H --human", "Print sizes and dates for people", default=True),
            NO_TRUNC,
            flag("-q --quiet", "Show ids only"),
            text("--shared-with", "IMAGE", "Show which layers another image has, too", complete="image"),
        ),
        aliases=(("history",),),
    ),
    Command(
        ("image", "log"),
        _VERSIONS + "log",
        "Show which images a name pointed to, when, and why",
        (_NAME,),
        (FORMAT, NO_TRUNC, flag("-q --quiet", "Show ids only")),
    ),
    Command(
        ("image", "rollback"),
        _VERSIONS + "rollback",
        "Let a name point to an earlier image again",
        (_NAME,),
        (text("--to", "VERSION", "A version of 'image log' (default: the one before)"),),
    ),
    Command(
        ("image", "diff"),
        _VERSIONS + "diff",
        "Show the files in which two images differ",
        (
            Argument("before", complete="image", metavar="IMAGE"),
            Argument("after", complete="image", metavar="IMAGE"),
        ),
        (FORMAT, flag("-q --quiet", "Show paths only")),
    ),
    Command(
        ("image", "load"),
        _IMAGE + "load",
        "Load images from an archive or stdin",
        (),
        (
            text("-i --input", "FILE", "Read from a file, not from stdin", kind="stdin"),
            flag("-q --quiet", "Do not show progress"),
        ),
        aliases=(("load",),),
    ),
    Command(
        ("image", "pull"),
        _REGISTRY + "pull",
        "Fetch an image from a registry",
        (Argument("name", metavar="NAME[:TAG|@DIGEST]"),),
        (
            flag("-a --all-tags", "Fetch all tags of the repository"),
            text("--platform", "OS/ARCH[/VARIANT]", "Take the image of another platform"),
            flag("-q --quiet", "Print the image's name only"),
            INSECURE,
        ),
        aliases=(("pull",),),
    ),
    Command(
        ("image", "push"),
        _REGISTRY + "push",
        "Put an image into a registry",
        (Argument("name", complete="image", metavar="NAME[:TAG]"),),
        (
            flag("-a --all-tags", "Push all tags of the repository"),
            text("--compression-format", "METHOD", "gzip or zstd", default="gzip", complete="gzip|zstd"),
            flag("-q --quiet", "Print the image's name only"),
            INSECURE,
        ),
        aliases=(("push",),),
    ),
    Command(
        ("image", "save"),
        _IMAGE + "save",
        "Write images as an archive, to stdout unless -o is given",
        _MANY,
        (
            text("-o --output", "FILE", "Write to a file", kind="stdout"),
            text("--format", "FORMAT", "docker-archive or oci", complete="docker-archive|oci"),
            text("--compress", "METHOD", "none, gzip or zstd", complete="none|gzip|zstd"),
        ),
        aliases=(("save",),),
    ),
    Command(
        ("image", "import"),
        _IMAGE + "import_",
        "Make an image of a root file system: an archive, a directory or stdin",
        (
            Argument("source", complete="file", metavar="FILE|DIRECTORY|-", kind="stdin"),
            Argument("repository", "?", metavar="[REPOSITORY[:TAG]]"),
        ),
        (
            many("-c --change", "INSTRUCTION", "Apply a Dockerfile instruction to the image"),
            text("-m --message", "TEXT", "Message in the image's history"),
            text("--platform", "OS/ARCH", "Platform of the image"),
        ),
        aliases=(("import",),),
    ),
    Command(
        ("image", "bootstrap"),
        _IMAGE + "bootstrap",
        "Make a base image from the distribution's package mirror",
        (Argument("system", metavar="DISTRIBUTION[:RELEASE]", complete="debian:bookworm|busybox"),),
        (
            text("-t --tag", "NAME[:TAG]", "Name of the image"),
            many("--include", "PACKAGE,...", "Further packages"),
            text("--variant", "NAME", "minbase, apt, essential, ...", default="minbase"),
            flag("--no-cache", "Make it anew although nothing changed"),
            flag("-q --quiet", "Show the image's id only"),
        ),
        aliases=(("bootstrap",),),
    ),
    Command(
        ("image", "inspect"),
        "devbox.cli.commands.inspecting:inspect",
        "Show everything about images",
        _MANY,
        (
            FORMAT_INSPECT,
            flag("--remote", "Ask the registry, and fetch nothing"),
            text("--platform", "OS/ARCH[/VARIANT]", "With --remote: the image of another platform"),
            INSECURE,
        ),
    ),
    Command(
        ("image", "prune"),
        _IMAGE + "prune",
        "Remove images that nothing uses",
        (),
        (flag("-a --all", "Remove all unused images, not only unnamed ones"), KEEP_VERSIONS, PRUNE_FILTER, FORCE),
        frees=True,
    ),
)
