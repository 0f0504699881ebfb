"""Instructions of import --change and commit --change."""

from __future__ import annotations

from typing import Any

import pytest

from devbox.errors import UsageError
from devbox.image import changes, config

LAYER = "sha256:" + "a" * 64


def changed(*instructions: str, **before: Any) -> dict[str, Any]:
    result: dict[str, Any] = changes.apply({"config": before, "os": "linux"}, instructions)["config"]
    return result


@pytest.mark.parametrize(
    ("instruction", "key", "value"),
    [
        ('CMD ["a", "b c"]', "Cmd", ["a", "b c"]),
        ("cmd a b c", "Cmd", ["/bin/sh", "-c", "a b c"]),
        ("CMD [ -f x ]", "Cmd", ["/bin/sh", "-c", "[ -f x ]"]),
        ('ENTRYPOINT ["x"]', "Entrypoint", ["x"]),
        ("ENV A=1 B='two words' C=\"x=y\"", "Env", ["A=1", "B=two words", "C=x=y"]),
        ("ENV A the rest = of it", "Env", ["A=the rest = of it"]),
        ("LABEL a.b=c", "Labels", {"a.b": "c"}),
        ("EXPOSE 80 53/udp 90-91", "ExposedPorts", {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}}),
        ('VOLUME ["/a", "/b c"]', "Volumes", {"/a": {}, "/b c": {}}),
        ("VOLUME /a /b", "Volumes", {"/a": {}, "/b": {}}),
        ("USER 1000:www", "User", "1000:www"),
        ("WORKDIR /a/../b//c/.", "WorkingDir", "/b/c"),
        ("STOPSIGNAL SIGINT", "StopSignal", "SIGINT"),
        ("ONBUILD RUN make", "OnBuild", ["RUN make"]),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        (
            "HEALTHCHECK --start-period=2s --start-interval=500ms CMD a b",
            "Healthcheck",
            {"Test": ["CMD-SHELL", "a b"], "StartPeriod": 2_000_000_000, "StartInterval": 500_000_000},
        ),
        (
            'HEALTHCHECK --interval=1m30s --retries=2 CMD ["a"]',
            "Healthcheck",
            {"Test": ["CMD", "a"], "Interval": 90_000_000_000, "Retries": 2},
        ),
        ("HEALTHCHECK CMD a || b", "Healthcheck", {"Test": ["CMD-SHELL", "a || b"]}),
    ],
)
def test_instructions(instruction: str, key: str, value: Any) -> None:
    config_now = changed(instruction)
    assert config_now == {key: value}
    fields = config.compose(created=0, config=config_now, diff_ids=[LAYER], history=[])
    config.parse(config.write(fields))  # what we write, we take


def test_they_add_to_what_is_there() -> None:
    now = changed(
        "ENV B=new C=3",
        "WORKDIR sub",
        "LABEL y=2",
        'SHELL ["/bin/bash", "-c"]',
        "CMD run",
        Env=["A=1", "B=old"],
        WorkingDir="/srv",
        Labels={"x": "1"},
    )
    assert now["Env"] == ["A=1", "B=new", "C=3"]
    assert now["WorkingDir"] == "/srv/sub"
    assert now["Labels"] == {"x": "1", "y": "2"}
    assert now["Cmd"] == ["/bin/bash", "-c", "run"]


def test_the_document_itself_stays_as_it_was() -> None:
    before = {"config": {"Env": ["A=1"]}}
    changes.apply(before, ["ENV A=2"])
    assert before == {"config": {"Env": ["A=1"]}}


@pytest.mark.parametrize(
    "instruction",
    [
        "RUN make",
        "FROM x",
        "",
        "CMD",
        "ENV A",
        "ENV A=1 B",
        "ENV 'A",
        "EXPOSE 0",
        "EXPOSE 70000",
        "EXPOSE 80/icmp",
        "VOLUME data",
        "VOLUME /a/../..",
        "USER a b",
        "STOPSIGNAL SIGNOPE",
        "SHELL bash",
        "ONBUILD FROM x",
        "HEALTHCHECK maybe",
        "HEALTHCHECK --interval=soon CMD x",
        "HEALTHCHECK --interval=1ns CMD x",
        "HEALTHCHECK --timeout=999us CMD x",
        "HEALTHCHECK --retries=x CMD y",
    ],
)
def test_malformed(instruction: str) -> None:
    with pytest.raises(UsageError):
        changed(instruction)
