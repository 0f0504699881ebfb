"""build and the commands of its cache."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, many, text
from devbox.cli.grammars.common import FORCE, FORMAT, NO_TRUNC, PRUNE_FILTER

_WHAT = (
    many("-t --tag", "NAME[:TAG]", "Name of the image; may be repeated"),
    text("-f --file", "FILE", "The Dockerfile, - for stdin (default: CONTEXT/Dockerfile)", kind="dockerfile"),
    text("--target", "STAGE", "Build this stage, not the last one"),
    many("--build-arg", "NAME[=VALUE]", "Value of an ARG; without one, take it from here", kind="env"),
    many(
        "--build-context",
        "NAME=SOURCE",
        "A further context: a directory, or docker-image://IMAGE",
        kind="contexts",
    ),
    many("--platform", "OS/ARCH[,...]", "Platform of the image; several make an index"),
    many("--label", "KEY=VALUE", "Set a label of the image"),
    many(
        "--annotation",
        "[TYPE:]KEY=VALUE",
        "Set an annotation of the manifest, or of manifest-descriptor, index, ...",
    ),
)
_HOW = (
    flag("--no-cache", "Make every step anew"),
    many("--no-cache-filter", "STAGE", "Make the steps of this stage anew"),
    flag("--pull", "Look for newer base images"),
    text("--network", "MODE", "Network of RUN steps: default, none or host", complete="default|none|host"),
    many("--add-host", "NAME:ADDRESS", "Add a line to /etc/hosts of RUN steps"),
    many("--secret", "id=ID[,src=FILE|,env=NAME]", "Give a secret to the steps that mount it", kind="secrets"),
    many("--ssh", "default|ID[=SOCKET]", "Give an SSH agent to the steps that mount it", kind="sockets"),
    many("--allow", "RIGHT", "Permit security.insecure"),
    many(
        "--cache-from",
        "SOURCE",
        "Take steps from a cache: type=local,src=DIRECTORY or type=registry,ref=NAME",
        kind="cache_from",
    ),
    many(
        "--cache-to",
        "TARGET",
        "Keep steps in a cache: type=local,dest=DIRECTORY or type=registry,ref=NAME",
        kind="cache_to",
    ),
    flag("--check", "Only look for mistakes"),
    flag("-D --debug", "Open a shell in a step that fails"),
)
_RESULT = (
    many(
        "-o --output", "DIRECTORY|type=TYPE,...", "Write the files or image: type=local, tar, oci, docker",
        kind="outputs",
    ),
    flag("--push", "Push the image to the registries of its names"),
    flag("--rm", "Leave no container behind, which is done anyway", hidden=True),
    flag("--force-rm", "The same where a step fails", hidden=True),
    flag("--compress", "Nothing: no context is sent", hidden=True),
    text("--provenance", "false", "Attestations: none are made, so false is all it may be"),
    text("--sbom", "false", "Lists of packages: none are made, so false is all it may be"),
    flag("--load", "Keep the image here, which is done anyway", hidden=True),
    text("--iidfile", "FILE", "Write the image's id to a file", kind="result"),
    text("--metadata-file", "FILE", "Write what was built to a file, as JSON", kind="result"),
    text(
        "--progress", "FORM", "auto, plain, tty, rawjson or quiet", default="auto",
        complete="auto|plain|tty|rawjson|quiet",
    ),
    flag("-q --quiet", "Show the image's id only"),
)  # fmt: skip

COMMANDS = (
    Command(
        ("image", "build"),
        "devbox.cli.commands.build:build",
        "Build an image from a Dockerfile",
        (Argument("context", complete="file", metavar="DIRECTORY|URL|-", kind="context"),),
        (*_WHAT, *_HOW, *_RESULT),
        aliases=(("build",), ("builder", "build")),
        sections=(("How it is built", _HOW), ("What comes of it", _RESULT)),
    ),
    Command(
        ("builder", "prune"),
        "devbox.cli.commands.builder:prune",
        "Remove the build cache",
        (),
        (
            flag("-a --all", "Also what images are made of; they stay as they are"),
            PRUNE_FILTER,
            text("--keep-storage", "BYTES", "Keep the most recently used ones up to this size (10g)"),
            FORCE,
        ),
        frees=True,
    ),
    Command(
        ("builder", "du"),
        "devbox.cli.commands.builder:du",
        "Show what is in the build cache",
        (),
        (FORMAT, NO_TRUNC, flag("--verbose", "Show the instructions")),
    ),
)
