"""Commands of the noun manifest."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, many, text
from devbox.cli.grammars.common import INSECURE

_MANIFEST = "devbox.cli.commands.manifest:"
_LIST = Argument("list", metavar="LIST")
_IMAGE = Argument("image", metavar="IMAGE")

COMMANDS = (
    Command(
        ("manifest", "create"),
        _MANIFEST + "create",
        "Make a list of images for several platforms, which are in a registry already",
        (_LIST, Argument("images", "+", metavar="IMAGE...")),
        (flag("-a --amend", "Add to a list that exists"), INSECURE),
    ),
    Command(
        ("manifest", "annotate"),
        _MANIFEST + "annotate",
        "Say what platform an image of a list is for",
        (_LIST, _IMAGE),
        (
            text("--arch", "ARCHITECTURE", "Architecture"),
            text("--os", "OS", "Operating system"),
            many("--os-features", "FEATURE", "Feature of the operating system"),
            text("--os-version", "VERSION", "Version of the operating system"),
            text("--variant", "VARIANT", "Variant of the architecture"),
        ),
    ),
    Command(
        ("manifest", "inspect"),
        _MANIFEST + "inspect",
        "Show a manifest or a list: one made here, or the registry's",
        (Argument("names", "+", metavar="[LIST] IMAGE"),),
        (flag("-v --verbose", "Show the manifests of a list, too"), INSECURE),
    ),
    Command(
        ("manifest", "push"),
        _MANIFEST + "push",
        "Put a list into its registry",
        (_LIST,),
        (flag("-p --purge", "Forget the list here afterwards"), INSECURE),
    ),
    Command(
        ("manifest", "rm"),
        _MANIFEST + "rm",
        "Forget lists that were made here",
        (Argument("lists", "+", metavar="LIST..."),),
    ),
)
