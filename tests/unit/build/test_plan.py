"""From Dockerfiles to stages and steps, without carrying anything out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from devbox.build.language.parse import parse
from devbox.build.language.syntax import DockerfileError, Span
from devbox.build.planning.plan import plan
from devbox.build.planning.planned import Base, Plan, StagePlan, Wish
from devbox.build.planning.platforms import Platform
from devbox.build.planning.steps import CopyStep, RunStep, Source, WorkdirStep
from devbox.errors import NotFoundError
from devbox.model.image import HistoryEntry, Image, ImageConfig

CREATED = 1_700_000_000


def find(reference: str, platform: Platform, span: Span) -> Base:
    if "missing" in reference:
        raise NotFoundError(f"no {reference}", hint=str(span))
    config: Mapping[str, Any] = {
        "Env": ["PATH=/bin", "FROM_BASE=1"],
        "Cmd": ["sh"],
        "OnBuild": ["RUN triggered"] if reference == "onbuild" else None,
    }
    history = (HistoryEntry("2020-01-01T00:00:00Z", "base"),)
    image = Image("sha256:" + "0" * 64, CREATED, "amd64", "linux", "", ImageConfig(), (1,), ("d",), history, 0)
    return Base(image, {"config": config})


def planned(text: str, **wish: Any) -> Plan:
    return plan(parse(text.encode(), "Dockerfile"), Wish(**wish), find)


def last(text: str, **wish: Any) -> StagePlan:
    return planned(text, **wish).stages[-1]


def run_of(stage: StagePlan, number: int = -1) -> RunStep:
    action = stage.steps[number].action
    assert isinstance(action, RunStep)
    return action


def test_only_stages_that_are_needed_are_planned_each_after_those_it_needs() -> None:
    text = """
    FROM a AS one
    FROM b AS useless
    FROM one AS two
    RUN --mount=from=three,target=/x true
    FROM c AS three
    """
    with pytest.raises(DockerfileError, match="must be defined before"):
        planned(text, target="two")
    text = "FROM c AS three\nFROM a AS one\nFROM missing AS useless\nFROM one\n"
    text += "RUN --mount=from=three,target=/x true\n"
    assert [stage.name for stage in planned(text).stages] == ["one", "three", ""]


def test_arguments_have_their_values_in_the_order_of_docker() -> None:
    text = "ARG A=global\nARG B=$A-b\nFROM base\nARG A\nARG C=$A-c\nARG B=own\nENV D=${B}\nRUN x\n"
    env = run_of(last(text, arguments={"B": "given"})).env
    assert {"A=global", "C=global-c", "B=given", "D=given", "FROM_BASE=1"} <= set(env)
    assert "A=global" not in run_of(last("ARG A=global\nFROM base\nRUN x\n")).env
    assert last(text).draft.config["Env"] == ["PATH=/bin", "FROM_BASE=1", "D=own"]


def test_what_every_run_gets_is_no_part_of_the_image() -> None:
    stage = last("FROM base\nRUN x\n", arguments={"http_proxy": "p", "UNUSED": "u"})
    step = run_of(stage)
    assert step.env[-1] == f"SOURCE_DATE_EPOCH={CREATED}"
    assert step.hidden_env == ("http_proxy=p",)
    assert stage.draft.config["Env"] == ["PATH=/bin", "FROM_BASE=1"]
    assert "proxy" not in stage.draft.history[-1].created_by


@pytest.mark.parametrize(
    ("arguments", "created"),
    [({}, "2023-11-14T22:13:20Z"), ({"SOURCE_DATE_EPOCH": "1000000000"}, "2001-09-09T01:46:40Z")],
)
def test_the_moment_is_the_bases_or_the_one_that_is_given(arguments: dict[str, str], created: str) -> None:
    stage = last("FROM base\nENV a=b\n", arguments=arguments)
    assert stage.draft.created == created
    assert stage.draft.history[-1].created == created
    assert last("FROM scratch\nENV a=b\n").draft.created == "1980-01-01T00:00:00Z"


def test_paths_are_resolved_from_the_working_directory() -> None:
    stage = last("FROM base\nWORKDIR /a\nWORKDIR b/../c\nCOPY x .\nCOPY x y\nCOPY x /z/\nCOPY x ../up/\n")
    assert [step.action.path for step in stage.steps if isinstance(step.action, WorkdirStep)] == ["/a", "/a/c"]
    copies = [step.action.destination for step in stage.steps if isinstance(step.action, CopyStep)]
    assert copies == ["/a/c/", "/a/c/y", "/z/", "/a/up/"]


def test_a_stage_may_be_called_as_its_image_or_as_that_of_an_earlier_one() -> None:
    assert last("FROM base AS base\nRUN x\n").base == Source("image", "base")
    stages = planned("FROM other AS one\nFROM base AS other\nCOPY --from=one /a /b\n").stages
    assert [stage.base.name for stage in stages] == ["other", "base"]


def test_a_child_stage_goes_on_where_its_parent_ended() -> None:
    text = 'FROM base AS one\nARG A=1\nENV B=2\nWORKDIR /w\nUSER u\nSHELL ["/x", "-c"]\nFROM one\nRUN y\n'
    stage = last(text)
    step = run_of(stage)
    assert (step.arguments, step.working_dir, step.user) == (("/x", "-c", "y"), "/w", "u")
    assert {"A=1", "B=2"} <= set(step.env)
    assert stage.base == Source("stage", stage=0)


def test_triggers_of_the_base_come_first_and_once() -> None:
    stage = last("FROM onbuild\nRUN own\n")
    assert [run_of(stage, number).arguments[-1] for number in (0, 1)] == ["triggered", "own"]
    assert "OnBuild" not in stage.draft.config


def test_an_entrypoint_forgets_the_command_of_the_base_only() -> None:
    assert "Cmd" not in last('FROM base\nENTRYPOINT ["e"]\n').draft.config
    assert last('FROM base\nCMD ["c"]\nENTRYPOINT ["e"]\n').draft.config["Cmd"] == ["c"]


def test_named_contexts_come_before_stages_and_images() -> None:
    text = "FROM a AS src\nFROM base\nCOPY --from=src /x /\n"
    step = last(text, contexts=frozenset({"src"})).steps[-1].action
    assert isinstance(step, CopyStep)
    assert step.origin == Source("context", "src")
    assert planned(text, images={"base": "other"}).stages[-1].base == Source("image", "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM ${NOTHING}\n", "should not be blank"),
        ("FROM missing AS one\nFROM one AS missing\n", "circular dependency: stage 'missing'"),
        ("FROM base\nCOPY --from=missing /x /\n", "no stage or image 'missing'"),
        ("FROM base\nRUN --mount=target=/ true\n", "invalid mount target"),
        ("FROM base\nRUN --device=x true\n", "--device is not supported"),
        ("FROM base\nCOPY --from=7 /x /\n", "there is no stage 7"),
        ("FROM base\nCOPY https://example.com/x /\n", "can't be a URL for COPY"),
    ],
)
def test_mistakes_have_a_place(text: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=message) as caught:
        planned(text)
    assert str(caught.value).startswith("Dockerfile:")


def test_a_mount_without_a_target_is_where_the_command_runs() -> None:
    run = run_of(last("FROM a\nWORKDIR /src\nRUN --mount=type=bind --mount=type=secret,id=s,env=S true"))
    assert [(mount.kind, mount.target) for mount in run.mounts] == [("bind", "/src"), ("secret", "")]
    with pytest.raises(DockerfileError, match="invalid mount target"):
        planned("FROM a\nRUN --mount=type=bind true")


def test_the_wanted_stage_has_a_name_in_a_variable() -> None:
    def text(name: str) -> str:
        return f"ARG X=$TARGETSTAGE\nFROM a AS one\nFROM a{name}\nARG X\nRUN true"

    assert "X=two" in run_of(last(text(" AS two"))).env
    assert "X=default" in run_of(last(text(""))).env
    assert last(text(" AS two"), target="one").name == "one"
