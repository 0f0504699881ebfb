"""The value of RUN --mount."""

import re
from collections.abc import Callable
from typing import Literal, NamedTuple, cast

from devbox.build.language.suggest import did_you_mean
from devbox.errors import UsageError
from devbox.model.mount_parse import fields
from devbox.model.truth import truth
from devbox.model.values_parse import parse_size

Kind = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["", "shared", "private", "locked"]
_KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARINGS = ("shared", "private", "locked")
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = (
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "readwrite",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
)
_SWITCHES = ("readonly", "readwrite", "required")
_ONLY_FOR = {
    "size": ("tmpfs",),
    "sharing": ("cache",),
    "required": ("secret", "ssh"),
    "mode": ("secret", "ssh", "cache"),
    "uid": ("secret", "ssh", "cache"),
    "gid": ("secret", "ssh", "cache"),
    "env": ("secret",),
}
_ID_MAX = (1 << 31) - 1
_MODE_MAX = 0o7777


class RunMount(NamedTuple):
    """What is mounted while a RUN runs."""

    kind: Kind = "bind"
    from_: str = ""
    origin: str = ""
    """`source`"""
    target: str = ""
    """relative to the working directory, which "" means"""
    readonly: bool = True
    size: int = 0
    """bytes of a tmpfs, 0 for no limit"""
    id: str = ""
    sharing: Sharing = ""
    required: bool = False
    env: str | None = None
    """the variable that gets a secret; "" for the one named as its id"""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def read_mount(text: str, expand: Callable[[str], str] | None) -> RunMount:
    """Read type=cache,target=/x; without `expand`, what may have variables is not looked at yet.

    Raises UsageError.
    """
    values: dict[str, str] = {}
    for field in fields(text, f"--mount={text}"):
        name, equals, value = field.partition("=")
        key = _ALIASES.get(name.lower(), name.lower())
        if key not in _KEYS:
            raise UsageError(f"unexpected key {name!r} in {field!r}", hint=_hint(key))
        if not equals and key not in _SWITCHES:
            raise UsageError(f"invalid field {field!r} must be a key=value pair", hint=f"write {name}=VALUE")
        if key == "from" and "$" in value[:-1]:
            raise UsageError(
                "'from' doesn't support variable expansion, define alias stage instead",
                hint="FROM ${...} AS NAME, and from=NAME",
            )
        values.pop(key, None)  # the last one counts, and its place
        values[key] = "true" if not equals else expand(value) if expand else value
    return _mount(values) if expand else RunMount(from_=values.get("from", ""))


def _hint(key: str) -> str:
    return did_you_mean(key, (*_KEYS, *_ALIASES), f"the keys are {', '.join(_KEYS)}")


def _one_of(value: str, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        hint = did_you_mean(value, known, f"it is one of {', '.join(known)}")
        raise UsageError(f"unsupported {what} {value!r}", hint=hint)


def _mount(values: dict[str, str]) -> RunMount:
    kind = values.get("type", "bind").lower()
    _one_of(kind, _KINDS, "mount type")
    sharing = values.get("sharing", "").lower()
    _one_of(sharing, ("", *_SHARINGS), "sharing value")
    _check_keys(kind, values)
    return RunMount(
        kind=cast(Kind, kind),
        from_=values.get("from", ""),
        origin=values.get("source", ""),
        target=values.get("target", ""),
        readonly=_readonly(kind, values),
        size=parse_size(values["size"], "size") if "size" in values else 0,
        id=values.get("id", ""),
        sharing=cast(Sharing, sharing),
        required=_boolean(values, "required"),
        env=values.get("env"),
        mode=_number(values, "mode", 8, _MODE_MAX),
        uid=_number(values, "uid", 10, _ID_MAX),
        gid=_number(values, "gid", 10, _ID_MAX),
    )


def _check_keys(kind: str, values: dict[str, str]) -> None:
    for key, kinds in _ONLY_FOR.items():
        if key in values and kind not in kinds:
            raise UsageError(
                f"unexpected key {key!r} for mount type {kind!r}", hint=f"it is for {', '.join(kinds)}"
            )
    if kind == "secret":
        _check_secret(values)


def _check_secret(values: dict[str, str]) -> None:
    if values.get("from"):
        raise UsageError("a secret mount should not have a from")
    if not any(values.get(key) for key in ("source", "target", "id")):
        raise UsageError("invalid secret mount: one of id, source, target is required")
    if values.get("source") and values.get("id"):
        raise UsageError("both source and id of a secret mount can't be set")


def _readonly(kind: str, values: dict[str, str]) -> bool:
    readonly = kind not in ("cache", "tmpfs")
    for key in values:
        if key == "readonly":
            readonly = _boolean(values, key)
        elif key == "readwrite":
            readonly = not _boolean(values, key)
    return readonly


def _boolean(values: dict[str, str], key: str) -> bool:
    said = truth(values.get(key, "false"))
    if said is None:
        raise UsageError(f"invalid value for {key}: {values[key]}", hint="it is true or false")
    return said


def _number(values: dict[str, str], key: str, base: int, most: int) -> int | None:
    text = values.get(key)
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,12}", text) or (base == 8 and set(text) & set("89")) or int(text, base) > most:
        raise UsageError(f"invalid value {text!r} for {key}")
    return int(text, base)
