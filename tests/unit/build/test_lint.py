"""The build checks, with BuildKit's own words."""

from __future__ import annotations

import pytest

from devbox.build.language.lint import Base, Setting, lint, show, violation
from devbox.build.language.parse import parse
from devbox.build.language.rules import RULES, notice
from devbox.build.language.syntax import DockerfileError, Span
from devbox.model.ignore import Matcher

AUTOMATIC = {"TARGETPLATFORM": "linux/amd64", "TARGETARCH": "amd64", "BUILDPLATFORM": "linux/amd64"}
PLAIN = Setting(automatic=AUTOMATIC, base=lambda name, platform: Base({"PATH": "/bin"}))


def found(text: str, setting: Setting = PLAIN) -> list[str]:
    return [
        f"{each.span.start_line} {each.rule}: {each.message}"
        for each in lint(parse(text.encode(), "Dockerfile"), setting)
    ]


CASES = [
    ("FROM a AS Base", "1 StageNameCasing: Stage name 'Base' should be lowercase"),
    ("FROM a as base", "1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"),
    ("from a AS base", "1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"),
    ("FROM a\nRUN x \\\n\n y", "2 NoEmptyContinuation: Empty continuation line"),
    (
        "FROM a\nRUN x\nrun y",
        "3 ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase)",
    ),
    (
        "from a\nrun x\nRun y",
        "3 ConsistentInstructionCasing: Command 'Run' should match the case of the command majority (lowercase)",
    ),
    (
        "FROM a AS b\nFROM a AS b",
        '2 DuplicateStageName: Duplicate stage name "b", stage names should be unique',
    ),
    (
        "FROM a AS scratch",
        '1 ReservedStageName: Stage name should not use the same name as reserved stage "scratch"',
    ),
    (
        "FROM a\nCMD x",
        (
            "2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior "
            "related to OS signals"
        ),
    ),
    (
        "FROM a\nMAINTAINER me",
        "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
    ),
    (
        "ARG version\nFROM a$versio",
        "2 UndefinedArgInFrom: FROM argument 'versio' is not declared (did you mean version?)",
    ),
    ("FROM --platform=$FOO a", "1 UndefinedArgInFrom: FROM argument 'FOO' is not declared"),
    (
        "FROM a\nWORKDIR x\nWORKDIR y",
        '2 WorkdirRelativePath: Relative workdir "x" can have unexpected results if the base image changes',
    ),
    ("FROM a\nCOPY $foo /x", "2 UndefinedVar: Usage of undefined variable '$foo'"),
    ("FROM a\nENV PATH=$PAHT:/x", "2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)"),
    ("FROM a\nARG x=$y", "2 UndefinedVar: Usage of undefined variable '$y'"),
    (
        "FROM a\nENTRYPOINT []\nENTRYPOINT []",
        (
            "2 MultipleInstructionsDisallowed: Multiple ENTRYPOINT instructions should not be used "
            "in the same stage because only the last one will be used"
        ),
    ),
    (
        "FROM a\nENV x y",
        '2 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format',
    ),
    (
        "FROM --platform=$TARGETPLATFORM a",
        (
            "1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant "
            "as this is the default behavior"
        ),
    ),
    (
        "FROM a\nENV AWS_SECRET_KEY=x",
        '2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "AWS_SECRET_KEY")',
    ),
    (
        "FROM a\nARG token",
        '2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "token")',
    ),
    (
        "ARG tag\nFROM a:$tag",
        "2 InvalidDefaultArgInFrom: Default value for ARG a:$tag results in empty or invalid base image name",
    ),
    (
        "FROM --platform=linux/amd64 a",
        '1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64"',
    ),
    (
        "FROM a\nEXPOSE 80/TCP",
        "2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
    ),
    (
        "FROM a\nEXPOSE 127.0.0.1:80:80",
        (
            "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, "
            "found '127.0.0.1:80:80'"
        ),
    ),
    (
        "# check=experimental=all\n# other text\nARG foo\nFROM a",
        "3 InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>`",
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_a_warning_is_buildkits(text: str, expected: str) -> None:
    given = Setting(automatic=AUTOMATIC, base=PLAIN.base, arguments={"tag": "1"})
    assert found(text, given) == [expected]


@pytest.mark.parametrize(("text", "expected"), [case for case in CASES if "experimental" not in case[0]])
def test_a_warning_can_be_skipped(text: str, expected: str) -> None:
    rule = expected.split()[1].rstrip(":")
    assert not [each for each in found(f"# check=skip={rule}\n{text}") if rule in each]
    assert found(f"# check=skip=all\n{text}") == []
    assert [each for each in found(f"# check=skip=Other\n{text}") if rule in each] or "$tag" in text


def test_a_comment_above_an_instruction_skips_for_it_alone() -> None:
    warnings = found("FROM a\n# check=skip=JSONArgsRecommended\nCMD x\n\nFROM a\nCMD x")
    assert [each.split()[0] for each in warnings] == ["6"]


@pytest.mark.parametrize(
    "text",
    [
        "FROM a AS b\nRUN x",
        "FROM a\nARG foo\nCOPY $foo /x",
        "FROM a\nENV foo=1\nCOPY $foo ${foo:-x} /x",
        "FROM a AS b\nENV foo=1\nARG bar\nFROM b\nCOPY $foo$bar /x",
        "FROM a\nWORKDIR /x\nWORKDIR y",
        "FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y",
        'FROM a\nSHELL ["/bin/bash", "-c"]\nCMD x',
        "FROM a\nARG PUBLIC_KEY\nENV KEY_FILE=/x\nARG keyboard",
        "FROM --platform=$BUILDPLATFORM a",
        "FROM --platform=linux/amd64 a AS build_amd64",
        "FROM a\nEXPOSE 80 81/udp",
        "FROM scratch",
        "ARG tag=1\nFROM a:$tag",
        "# foo is it\nARG foo=1\nFROM a:$foo",
        "FROM a\nRUN echo $nothing",
        "FROM a\nHEALTHCHECK NONE\nFROM a\nHEALTHCHECK NONE",
    ],
)
def test_what_is_well(text: str) -> None:
    assert found(text) == []


def test_variables_of_an_unknown_base_are_not_called_undefined() -> None:
    unknown = Setting(base=lambda name, platform: None)
    assert found("FROM a\nCOPY $foo ${bar:?must be} /x\nFROM 0\nCOPY $baz /x", unknown) == []
    assert found("FROM scratch\nCOPY $foo /x", unknown) != []
    with pytest.raises(DockerfileError, match="must be"):
        found("FROM scratch\nCOPY ${bar:?must be} /x", unknown)


def test_only_stages_that_are_built_are_walked() -> None:
    text = "FROM a AS one\nCMD x\nFROM a AS two\nCMD y"
    assert [each.split()[0] for each in found(text, PLAIN._replace(stages=frozenset({1})))] == ["4"]


def test_copying_what_is_ignored() -> None:
    ignoring = PLAIN._replace(matcher=Matcher(["secret", "*.log"]))
    text = "FROM a\nCOPY secret/x a.log ok . /x\nCOPY --from=0 secret /x\nADD http://h/a.log b.log /x"
    assert found(text, ignoring) == [
        '2 CopyIgnoredFile: Attempting to Copy file "secret/x" that is excluded by .dockerignore',
        '2 CopyIgnoredFile: Attempting to Copy file "a.log" that is excluded by .dockerignore',
        '4 CopyIgnoredFile: Attempting to Add file "b.log" that is excluded by .dockerignore',
    ]
    everything = PLAIN._replace(matcher=Matcher(["**/*"]))
    assert found("FROM a\nCOPY . /x", everything) == [
        '2 CopyIgnoredFile: Attempting to Copy file "." that is excluded by .dockerignore'
    ]
    taking_back = PLAIN._replace(matcher=Matcher(["secret", "!secret/x"]))
    assert found("FROM a\nCOPY secret /x", taking_back) == []


def test_warnings_may_be_errors() -> None:
    parsed = parse(b"# check=error=true\nFROM a\nCMD x\nMAINTAINER y", "Dockerfile")
    error = violation(parsed, lint(parsed, PLAIN))
    assert error is not None
    assert error.message == "lint violation found for rules: JSONArgsRecommended, MaintainerDeprecated"
    assert violation(parsed, ()) is None
    assert violation(parse(b"FROM a", "x"), lint(parsed, PLAIN)) is None


def test_a_warning_is_shown_with_its_lines() -> None:
    parsed = parse(b"FROM a\n\nCMD x\n", "Dockerfile")
    (warning,) = lint(parsed, PLAIN)
    assert show(warning, parsed.lines).splitlines() == [
        "WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        "",
        "Dockerfile:3",
        "--------------------",
        "   1 |     FROM a",
        "   2 |     ",
        "   3 | >>> CMD x",
        "--------------------",
    ]


def test_every_rule_has_a_page() -> None:
    pages = {name: notice(name, "", Span("", 1, 1)).url.split("/")[-2] for name in RULES}
    assert pages["SecretsUsedInArgOrEnv"] == "secrets-used-in-arg-or-env"
    assert pages["JSONArgsRecommended"] == "json-args-recommended"
    assert pages["UndefinedArgInFrom"] == "undefined-arg-in-from"
    assert pages["FromPlatformFlagConstDisallowed"] == "from-platform-flag-const-disallowed"
