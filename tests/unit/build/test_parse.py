"""The Dockerfile language: what BuildKit's tables do not say."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.build.language import split
from devbox.build.language.expanded import expand_word, expanded
from devbox.build.language.instructions import (
    Add,
    Arg,
    Copy,
    Env,
    Expose,
    Healthcheck,
    Onbuild,
    Run,
    Stopsignal,
    Typed,
)
from devbox.build.language.lines import read
from devbox.build.language.parse import parse, trigger
from devbox.build.language.syntax import Dockerfile, DockerfileError, Instruction
from devbox.build.language.typed import typed
from devbox.build.language.words import Mode, WordError, expand, expand_words
from devbox.model import ignore


def nothing(name: str) -> None:
    """A lookup where no variable is set."""


def dockerfile(text: str) -> Dockerfile:
    return parse(text.encode(), "Dockerfile")


def instruction(line: str) -> Instruction:
    return dockerfile(f"FROM scratch\n{line}").stages[0].instructions[0]


def one(line: str, **values: str) -> Typed:
    return expanded(typed(instruction(line)), values.get)


def refused(text: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        dockerfile(text)
    return caught.value


# --- the file


def test_directives_are_read_until_the_first_line_that_is_none() -> None:
    parsed = dockerfile(
        "# Syntax=docker/dockerfile:1\n #escape = `\n# check=skip=A,B;error=true\n\n# check=skip=all\nFROM a"
    )
    assert (parsed.syntax, parsed.escape) == ("docker/dockerfile:1", "`")
    assert parsed.checks.skip == ("A", "B")
    assert parsed.checks.error
    assert not parsed.checks.skip_all


def test_a_comment_ends_the_directives() -> None:
    assert dockerfile("# hello\n# escape=`\nFROM a").escape == "\\"


def test_the_other_escape_character_continues_lines() -> None:
    parsed = dockerfile("# escape=`\nFROM a\nCOPY x `\n  c:\\\nRUN y")
    assert [each.words for each in parsed.stages[0].instructions] == [("x", "c:\\"), ("y",)]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_words() -> None:
    parsed = parse(b"\xef\xbb\xbfFROM a\r\nRUN one \\\r\n two\r\n", "Dockerfile")
    assert parsed.stages[0].instructions[0].words == ("one  two",)


def test_stages_have_names_bases_platforms_and_spans() -> None:
    parsed = dockerfile("ARG V=1\n\nFROM --platform=linux/amd64 a:$V AS Base\nRUN x\nFROM base\n\nRUN <<E\ny\nE\n")
    first, second = parsed.stages
    assert (first.name, first.base, first.platform, first.number) == ("base", "a:$V", "linux/amd64", 0)
    assert (second.name, second.base, second.number) == ("", "base", 1)
    assert [each.keyword for each in parsed.global_args] == ["arg"]
    assert (first.span.start_line, first.span.end_line) == (3, 4)
    assert (second.span.start_line, second.span.end_line) == (5, 9)


def test_comments_and_empty_lines_may_stand_in_a_continued_line() -> None:
    parsed = dockerfile("FROM a\nRUN one \\\n# no\n\n  two\n")
    assert parsed.stages[0].instructions[0].words == ("one   two",)
    assert [(each.rule, each.span.start_line) for each in parsed.warnings] == [("NoEmptyContinuation", 2)]


def test_comments_above_an_instruction_are_kept() -> None:
    parsed = dockerfile("FROM a\n# old\n#\n# foo is this\n  # and that\nARG foo\n")
    assert parsed.stages[0].instructions[0].comment == ("foo is this", "and that")


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("", 1, "file with no instructions"),
        ("# only\n# comments\n", 1, "file with no instructions"),
        ("ARG a\n", 1, "no stages"),
        ("RUN x\nFROM a", 1, "RUN comes before FROM"),
        ("FROM a\nRNU x", 2, "unknown instruction: RNU"),
        ("FROM a\n\n\\", 3, "unknown instruction"),
        ("FROM", 1, "one or three"),
        ("FROM a b c", 1, "one or three"),
        ("FROM a AS 1st", 1, "invalid name for build stage"),
        ("FROM --form=x a", 1, "unknown flag: --form"),
        ("# escape=x\nFROM a", 1, "invalid escape token"),
        ("# escape=`\n# escape=`\nFROM a", 2, "only one escape"),
        ("# check=skipp=x\nFROM a", 1, "invalid check option"),
        ("FROM a\nENV a", 2, "must have two arguments"),
        ("FROM a\nENV a=1 b", 2, "can't find = in 'b'"),
        ("FROM a\nENV =1", 2, "names can not be blank"),
        ("FROM a\nENV", 2, "at least one argument"),
        ("FROM a\nLABEL", 2, "at least one argument"),
        ("FROM a\nARG", 2, "at least one argument"),
        ("FROM a\nARG =x", 2, "names can not be blank"),
        ('FROM a\nCMD [ "a", [ "b" ] ]', 2, "comprised of strings only"),
        ('FROM a\nCMD [ "a", 1 ]', 2, "comprised of strings only"),
        ("FROM a\nCOPY x", 2, "at least two arguments"),
        ("FROM a\nCOPY x <<E\nE\n", 2, "heredoc as a destination"),
        ("FROM a\nCOPY --from=$x a b", 2, "doesn't support variable expansion"),
        ("FROM a\nCOPY --link=maybe a b", 2, "expecting boolean value"),
        ("FROM a\nCOPY --link= a b", 2, "missing a value on flag: --link"),
        ("FROM a\nCOPY --chown a b", 2, "missing a value on flag: --chown"),
        ("FROM a\nCOPY --chown=1 --chown=2 a b", 2, "duplicate flag"),
        ("FROM a\nRUN --network=bridge x", 2, "invalid network mode 'bridge'"),
        ("FROM a\nRUN --security=none x", 2, "security 'none' is not valid"),
        ("FROM a\nRUN --mount=type=cache,from=$x,target=/x x", 2, "doesn't support variable"),
        ("FROM a\nRUN --mount=typ=cache x", 2, "unexpected key 'typ'"),
        ("FROM a\nRUN --mount=target x", 2, "must be a key=value pair"),
        ("FROM a\nRUN <<E\nx", 2, "unterminated heredoc E"),
        ('FROM a\nCOPY ["a", "/x\\u0000y"]', 2, "NUL"),
        ("FROM a\nWORKDIR /x\0", 2, "NUL"),
        ("FROM a\nCOPY --from=\0 a b", 2, "NUL"),
        ("FROM a\nWORKDIR", 2, "exactly one argument"),
        ("FROM a\nUSER --x y", 2, "unknown flag: --x"),
        ("FROM a\nSHELL /bin/sh -c", 2, "JSON form"),
        ("FROM a\nSHELL []", 2, "at least one argument"),
        ("FROM a\nVOLUME", 2, "at least one argument"),
        ('FROM a\nVOLUME [" "]', 2, "empty string"),
        ("FROM a\nEXPOSE", 2, "at least one argument"),
        ("FROM a\nHEALTHCHECK", 2, "at least one argument"),
        ("FROM a\nHEALTHCHECK NONE x", 2, "takes no arguments"),
        ("FROM a\nHEALTHCHECK CMD", 2, "missing command"),
        ("FROM a\nHEALTHCHECK CONNECT TCP 7000", 2, "unknown type 'CONNECT'"),
        ("FROM a\nHEALTHCHECK --interval=1 CMD x", 2, "invalid duration"),
        ("FROM a\nHEALTHCHECK --interval=1us CMD x", 2, "less than 1ms"),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x", 2, "cannot be negative"),
        ("FROM a\nHEALTHCHECK --retries=x CMD x", 2, "invalid --retries"),
        ("FROM a\nONBUILD", 2, "at least one argument"),
        ("FROM a\nONBUILD ONBUILD RUN x", 2, "chaining"),
        ("FROM a\nONBUILD FROM x", 2, "FROM isn't allowed"),
        ("FROM a\nONBUILD RNU x", 2, "unknown instruction: RNU"),
        ("FROM a\nONBUILD COPY x", 2, "at least two"),
        ("FROM a\nSTOPSIGNAL", 2, "exactly one"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int, part: str) -> None:
    error = refused(text)
    assert error.span.start_line == line
    assert part in error.reason
    assert error.message.startswith(f"Dockerfile:{line}: ")


def test_an_error_shows_the_line_and_what_was_meant() -> None:
    error = refused("FROM a\n\nRNU apt-get update\n")
    assert error.message == "Dockerfile:3: unknown instruction: RNU\n  3 | RNU apt-get update"
    assert error.hint == "did you mean RUN?"
    assert refused("FROM a\nCOPY --form=b a b").hint == "did you mean --from?"
    assert "--parents" in refused("FROM a\nCOPY --whatever=b a b").hint


# --- heredocs


def test_heredocs_belong_to_the_line_that_announces_them() -> None:
    item = instruction('COPY <<one <<-"two" /d/\n$a\none\n\t b\n\ttwo\nRUN x')
    assert [(each.name, each.content, each.expand, each.strip_tabs) for each in item.heredocs] == [
        ("one", "$a\n", True, False),
        ("two", "\t b\n", False, True),
    ]
    copied = typed(item)
    assert isinstance(copied, Copy)
    assert [(each.name, each.content) for each in copied.documents] == [("one", "$a\n"), ("two", " b\n")]
    assert copied.sources == ()


def test_a_heredoc_of_a_copy_is_expanded_and_keeps_its_quotes() -> None:
    item = one("COPY <<E <<'F' x /d/\n'$a' \"${b:-c}\" \\$a\nE\n$a\nF\n", a="1")
    assert isinstance(item, Copy)
    assert [each.content for each in item.documents] == ["'1' \"c\" $a\n", "$a\n"]
    assert item.sources == ("x",)


def test_a_heredoc_of_a_run_is_the_shells() -> None:
    item = one("RUN 3<<E cat <&3 && \\\n  echo <<<no\n$a\nE\n", a="1")
    assert isinstance(item, Run)
    assert item.command.words == ("3<<E cat <&3 &&   echo <<<no",)
    assert [(each.name, each.descriptor, each.content) for each in item.heredocs] == [("E", 3, "$a\n")]


@pytest.mark.parametrize(
    "line", ['RUN echo "<<E"', "RUN echo '<<E'", "RUN echo \\<<E", 'RUN ["<<E"]', "ENV a=<<E"]
)
def test_what_is_no_heredoc(line: str) -> None:
    assert instruction(line).heredocs == ()


def test_a_heredoc_in_a_trigger_goes_into_the_expression() -> None:
    item = typed(instruction("ONBUILD  COPY <<E /x\nhello\nE\n"))
    assert isinstance(item, Onbuild)
    assert item.expression == "COPY <<E /x\nhello\nE"
    again = trigger(item.expression, "base")
    assert again.heredocs[0].content == "hello\n"


def test_a_trigger_of_an_image_is_checked() -> None:
    assert trigger("RUN x", "base").words == ("x",)
    for expression in ("FROM a", "RNU x", "RUN a\nRUN b", ""):
        with pytest.raises(DockerfileError):
            trigger(expression, "base")


# --- instructions


def test_the_flags_of_a_copy() -> None:
    item = typed(
        instruction(
            "COPY --from=base --chown=1:2 --chmod=0755 --link --parents=false --exclude=*.md --exclude=x a b c/"
        )
    )
    assert isinstance(item, Copy)
    assert item[1:] == (*(("a", "b"), (), "c/", "base", "1:2", "0755", True, False, ("*.md", "x")),)


def test_the_flags_of_an_add() -> None:
    item = one("ADD --checksum=sha256:$sum --keep-git-dir=true --unpack=false $url /x", sum="12", url="http://x/y")
    assert isinstance(item, Add)
    assert (item.checksum, item.keep_git_dir, item.unpack) == ("sha256:12", True, False)
    assert item.sources == ("http://x/y",)


def test_the_mounts_of_a_run_are_expanded() -> None:
    item = one(
        "RUN --mount=type=cache,target=$dir,sharing=locked,uid=1,mode=0700 --mount=target=/src,rw "
        "--mount=type=secret,id=s,env=TOKEN,required --mount=type=tmpfs,target=/t,size=1m x",
        dir="/cache",
    )
    assert isinstance(item, Run)
    cache, bind, secret, tmpfs = item.mounts
    assert (cache.target, cache.sharing, cache.uid, cache.mode, cache.readonly) == (
        "/cache",
        "locked",
        1,
        0o700,
        False,
    )
    assert (bind.kind, bind.target, bind.readonly) == ("bind", "/src", False)
    assert (secret.id, secret.env, secret.required, secret.readonly) == ("s", "TOKEN", True, True)
    assert tmpfs.size == 1 << 20


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("type=cahe,target=/x", "unsupported mount type 'cahe'"),
        ("type=cache,target=/x,sharing=lock", "unsupported sharing value"),
        ("type=cache,target=/x,size=1", "unexpected key 'size'"),
        ("type=bind,target=/x,mode=1", "unexpected key 'mode'"),
        ("type=secret", "one of id, source, target"),
        ("type=secret,id=a,source=b", "can't be set"),
        ("type=secret,id=a,mode=9", "invalid value '9' for mode"),
        ("type=secret,id=a,uid=4294967295", "invalid value"),
        ("type=cache,target=/x,ro=2", "invalid value for readonly"),
    ],
)
def test_a_mount_that_cannot_be(value: str, part: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        one(f"RUN --mount={value} x")
    assert part in caught.value.reason


def test_ports_are_taken_apart() -> None:
    item = one("EXPOSE 80/TCP $more 8000-8002/udp", more="53 54/sctp")
    assert isinstance(item, Expose)
    assert item.ports == ("53/tcp", "54/sctp", "80/tcp", "8000/udp", "8001/udp", "8002/udp")


@pytest.mark.parametrize("port", ["x", "80/http", "70000", "9-8", "-1", "80/", "/tcp"])
def test_a_port_that_is_none(port: str) -> None:
    if port == "80/":
        assert one(f"EXPOSE {port}")[1] == ("80/tcp",)
        return
    with pytest.raises(DockerfileError):
        one(f"EXPOSE {port}")


def test_all_pairs_of_an_instruction_see_the_values_from_before() -> None:
    item = one("ENV abc=bye def=$abc 'ghi'=\"a b\"", abc="hello")
    assert isinstance(item, Env)
    assert [(each.name, each.value) for each in item.pairs] == [("abc", "bye"), ("def", "hello"), ("ghi", "a b")]


def test_the_old_form_of_env_takes_the_rest_of_the_line() -> None:
    item = one("ENV abc  a b=c $x", x="1")
    assert isinstance(item, Env)
    assert [tuple(each) for each in item.pairs] == [("abc", "a b=c 1", True)]


def test_args_are_expanded_one_by_one() -> None:
    item = typed(instruction('ARG a b=1 c="$b $d"'))
    assert isinstance(item, Arg)
    assert item.args == (("a", None), ("b", "1"), ("c", '"$b $d"'))
    assert expand_word(item.source, item.args[2][1] or "", {"b": "1"}.get) == "1 "


def test_health_checks_have_times() -> None:
    item = typed(instruction("HEALTHCHECK --interval=1m30s --timeout=0 --start-interval=2s CMD curl -f x"))
    assert isinstance(item, Healthcheck)
    assert item.health.test == ("CMD-SHELL", "curl -f x")
    assert (item.health.interval, item.health.timeout, item.health.retries) == (90.0, 30.0, 3)
    assert item.start_interval == 2.0


@pytest.mark.parametrize(("rest", "test"), [("none", ("NONE",)), ('CMD ["a", "b"]', ("CMD", "a", "b"))])
def test_other_forms_of_health_checks(rest: str, test: tuple[str, ...]) -> None:
    item = typed(instruction(f"HEALTHCHECK {rest}"))
    assert isinstance(item, Healthcheck)
    assert item.health.test == test


def test_a_signal_is_checked_once_it_is_known() -> None:
    item = one("STOPSIGNAL $s", s="SIGINT")
    assert isinstance(item, Stopsignal)
    assert item.signal == "SIGINT"
    with pytest.raises(DockerfileError):
        one("STOPSIGNAL nothing")


def test_a_variable_that_must_be_set_is_told_with_its_line() -> None:
    with pytest.raises(DockerfileError) as caught:
        one("WORKDIR ${where:?say where}")
    assert "where: say where" in caught.value.reason
    assert caught.value.span.start_line == 2


def test_a_shell_line_is_not_expanded() -> None:
    item = one("RUN echo $x ${y", x="1")
    assert isinstance(item, Run)
    assert item.command == (("echo $x ${y",), True)


# --- words


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("${x#f*o}", "o.foo.txt"),
        ("${x##f*o}", ".txt"),
        ("${x%.*}", "foo.foo"),
        ("${x%%.*}", "foo"),
        ("${x%.???}", "foo.foo"),
        ("${x/foo/bar}", "bar.foo.txt"),
        ("${x//foo/bar}", "bar.bar.txt"),
        ("${x//o*/-}", "f-"),
        ("${p//\\//_}", "_a_b"),
        ("${s/\\*/star}", "star?"),
        ("${none#x}", ""),
        ("${none/x/y}", ""),
        ("${x+set}${none+set}", "set"),
        ("${empty-unset}${empty:-empty}", "empty"),
    ],
)
def test_values_are_trimmed_and_replaced(word: str, expected: str) -> None:
    values = {"x": "foo.foo.txt", "p": "/a/b", "s": "*?", "empty": ""}
    assert expand(word, values.get) == expected


@pytest.mark.parametrize("word", ["${x#\\a}", "${x:#a}", "${x/a}", "${x/a/b", "${x:", "${x^}", "${x:=1}"])
def test_modifiers_that_do_not_exist(word: str) -> None:
    with pytest.raises(WordError):
        expand(word, {"x": "a"}.get)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("a$x b", ["a1", "2", "b"]),
        ('a"$x" b', ["a1 2", "b"]),
        ("\"\" '' a", ["a"]),
        ("a\\ b", ["a b"]),
        ("$none a", ["a"]),
    ],
)
def test_words_are_split_at_blanks_that_are_not_quoted(line: str, words: list[str]) -> None:
    assert expand_words(line, {"x": "1 2"}.get) == words


def test_the_other_escape_character() -> None:
    assert expand("a`$x\\$x", {"x": "1"}.get, "`") == "a$x\\1"


def test_nesting_has_an_end() -> None:
    with pytest.raises(WordError, match="deep"):
        expand("${x:-" * 5000 + "}" * 5000, nothing)


def test_unset_variables_can_stay() -> None:
    assert expand("$a ${b} ${c:-d} $x", {"x": "1"}.get, mode=Mode(keep_unset=True)) == "$a ${b} ${c:-d} 1"


# --- what always holds

TEXT = st.text(alphabet=st.sampled_from("aB0 \t\n\\`$\"'{}[]<>-=:#%/?*+,.;é☃\x00EOT"), max_size=60)
LINES = st.lists(
    st.one_of(
        TEXT,
        st.builds(
            "{} {}".format,
            st.sampled_from([*split.KEYWORDS, "RUN <<E", "COPY <<-'E'", "ONBUILD RUN", "# escape=`\n", "ADD --a"]),
            TEXT,
        ),
    ),
    max_size=8,
)


def attempt(text: bytes) -> Dockerfile | DockerfileError:
    try:
        return parse(text, "Dockerfile")
    except DockerfileError as error:
        return error


@given(LINES)
def test_whatever_is_read_is_read_or_refused(lines: list[str]) -> None:
    text = "\n".join(lines)
    parsed = attempt(text.encode())
    if isinstance(parsed, DockerfileError):
        assert parsed.message.startswith("Dockerfile:")
        assert 1 <= parsed.span.start_line <= parsed.span.end_line <= max(1, len(lines) * 3)
        return
    for stage in parsed.stages:
        for each in stage.instructions:
            assert each.keyword in split.KEYWORDS
            assert 1 <= each.span.start_line <= each.span.end_line <= len(parsed.lines)
            with contextlib.suppress(DockerfileError):
                expanded(typed(each), {"a": "b c"}.get, parsed.escape)


@given(st.binary(max_size=80))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    parsed = attempt(b"FROM a\n" + data)
    assert isinstance(parsed, Dockerfile) or parsed.message.startswith("Dockerfile:")


PLAIN = st.text(alphabet="abcXYZ019_./:é☃", min_size=1, max_size=12)


@given(st.lists(st.text(max_size=20), max_size=5))
def test_json_words_come_back(words: list[str]) -> None:
    line = json.dumps(words).replace("\n", "")
    read_back = read(f"CMD {line}".encode(), "Dockerfile").instructions[0]
    assert (read_back.words, read_back.json) == (tuple(words), True)


@given(st.text(max_size=30))
def test_single_quotes_hold_everything(text: str) -> None:
    quoted = "'" + text.replace("'", "'\\''") + "'"
    assert expand(quoted, nothing) == text


@given(st.text(max_size=30))
def test_double_quotes_hold_what_is_escaped(text: str) -> None:
    quoted = '"' + "".join("\\" + char if char in '"$\\' else char for char in text) + '"'
    assert expand(quoted, nothing) == text


@given(st.dictionaries(st.text(alphabet="abc_", min_size=1), st.text(max_size=20)), st.sampled_from("abc"))
def test_a_value_is_never_expanded_again(values: dict[str, str], name: str) -> None:
    value = values.get(name)
    assert expand("$" + name, values.get) == (value or "")
    assert expand('"${' + name + '}"', values.get) == (value or "")
    assert expand("${" + name + "-none}", values.get) == ("none" if value is None else value)


@given(st.lists(PLAIN, min_size=1, max_size=5))
def test_arguments_fall_apart_at_blanks(words: list[str]) -> None:
    item = read(f"EXPOSE {' '.join(words)}".encode(), "Dockerfile").instructions[0]
    assert item.words == tuple(words)


PATHS = (
    st.lists(st.text(alphabet="ab.é", min_size=1, max_size=3), min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda path: ignore.clean(path) == path and not path.startswith("..") and path != ".")
)


@given(PATHS)
def test_a_plain_pattern_matches_itself_and_what_lies_below(path: str) -> None:
    matcher = ignore.Matcher([path])
    assert matcher.excluded(path)
    assert matcher.excluded(path + "/x")
    assert not matcher.excluded(path + "x")
    assert not ignore.Matcher([path, "!" + path]).excluded(path)


@given(st.lists(st.text(alphabet="ab*?/![]-^\\", min_size=1, max_size=6), max_size=4), PATHS)
def test_any_pattern_is_answered_or_refused(lines: list[str], path: str) -> None:
    try:
        matcher = ignore.Matcher(lines)
    except ignore.PatternError:
        return
    excluded = matcher.excluded(path)
    if excluded and not matcher.may_take_back(path):
        assert matcher.excluded(path + "/below")
    assert not matcher.excluded(".")


# --- .dockerignore


def test_a_dockerignore_file_is_read_as_docker_reads_it() -> None:
    text = b"\xef\xbb\xbf# comment\n\n  /a/ \r\n # no comment\n! b/../c\n!\n"
    assert ignore.read(text.replace(b"!\n", b"")) == ["a", "# no comment", "!c"]
    with pytest.raises(ignore.PatternError, match="illegal exclusion pattern"):
        ignore.patterns(b"!\n")


def test_the_last_pattern_that_matches_decides() -> None:
    matcher = ignore.patterns(b"*\n!src\nsrc/*.log\n!src/keep.log\n")
    assert [path for path in ("a", "src", "src/a", "src/x.log", "src/keep.log") if matcher.excluded(path)] == [
        "a",
        "src/x.log",
    ]


def test_only_where_something_comes_back_an_excluded_directory_is_entered() -> None:
    matcher = ignore.patterns(b"*\n!a/b/keep\n!c/*.txt\n")
    assert [path for path in ("a", "a/b", "a/x", "c", "c/d", "d") if matcher.may_take_back(path)] == [
        "a",
        "a/b",
        "c",
        "c/d",
    ]
