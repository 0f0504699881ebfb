"""BuildKit's build checks: their names, what they are about, and their pages."""

import re
from typing import NamedTuple

from devbox.build.language.syntax import Checks, Notice, Span

_PAGES = "https://docs.docker.com/go/dockerfile/rule/"


class Rule(NamedTuple):
    """One check."""

    description: str
    experimental: bool = False


RULES = {
    "ConsistentInstructionCasing": Rule(
        "All commands within the Dockerfile should use the same casing (either upper or lower)"
    ),
    "CopyIgnoredFile": Rule("Attempting to Copy file that is excluded by .dockerignore"),
    "DuplicateStageName": Rule("Stage names should be unique"),
    "ExposeInvalidFormat": Rule(
        "IP address and host-port mapping should not be used in EXPOSE instruction. "
        "This will become an error in a future release"
    ),
    "ExposeProtoCasing": Rule("Protocol in EXPOSE instruction should be lowercase"),
    "FromAsCasing": Rule("The 'as' keyword should match the case of the 'from' keyword"),
    "FromPlatformFlagConstDisallowed": Rule("FROM --platform flag should not use a constant value"),
    "InvalidBaseImagePlatform": Rule("Base image platform does not match expected target platform"),
    "InvalidDefaultArgInFrom": Rule("Default value for global ARG results in an empty or invalid base image name"),
    "InvalidDefinitionDescription": Rule(
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. "
        "If this is not intended to be a description comment, "
        "add an empty line or comment between the instruction and the comment.",
        experimental=True,
    ),
    "JSONArgsRecommended": Rule(
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"
    ),
    "LegacyKeyValueFormat": Rule("Legacy key/value format with whitespace separator should not be used"),
    "MaintainerDeprecated": Rule(
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author"
    ),
    "MultipleInstructionsDisallowed": Rule(
        "Multiple instructions of the same type should not be used in the same stage"
    ),
    "NoEmptyContinuation": Rule("Empty continuation lines will become errors in a future release"),
    "RedundantTargetPlatform": Rule(
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"
    ),
    "ReservedStageName": Rule("Reserved words should not be used as stage names"),
    "SecretsUsedInArgOrEnv": Rule("Sensitive data should not be used in the ARG or ENV commands"),
    "StageNameCasing": Rule("Stage names should be lowercase"),
    "UndefinedArgInFrom": Rule("FROM command must use declared ARGs"),
    "UndefinedVar": Rule("Variables should be defined before their use"),
    "WorkdirRelativePath": Rule(
        "Relative workdir without an absolute workdir declared within the build "
        "can have unexpected results if the base image changes"
    ),
}


def notice(name: str, message: str, span: Span) -> Notice:
    """What a rule has found."""
    slug = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
    return Notice(name, message, RULES[name].description, f"{_PAGES}{slug}/", span)


def is_wanted(name: str, checks: Checks) -> bool:
    """Whether a rule is not skipped, or is asked for when it is experimental."""
    if RULES[name].experimental:
        return name in checks.experimental or "all" in checks.experimental
    return not checks.skip_all and name not in checks.skip


def merged(checks: Checks, other: Checks) -> Checks:
    """What a file says with what a comment above an instruction adds."""
    return checks._replace(
        skip=checks.skip + other.skip,
        skip_all=checks.skip_all or other.skip_all,
        experimental=checks.experimental + other.experimental,
    )
