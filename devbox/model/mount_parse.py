"""Values of -v, --mount and --tmpfs, read as docker reads them."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Mapping

from devbox.errors import UsageError
from devbox.model.mount import Mount, Propagation
from devbox.model.truth import truth
from devbox.model.values_parse import parse_size

VOLUME_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}"
_PROPAGATIONS: Mapping[str, Propagation] = {
    "private": "private",
    "rprivate": "rprivate",
    "shared": "shared",
    "rshared": "rshared",
    "slave": "slave",
    "rslave": "rslave",
}
_MODES = {
    "ro": "access",
    "rw": "access",
    "z": "label",
    "Z": "label",
    "nocopy": "copy",
    "consistent": "consistency",
    "cached": "consistency",
    "delegated": "consistency",
    "default": "consistency",
    **dict.fromkeys(_PROPAGATIONS, "propagation"),
}
_CONSISTENCIES = ("", "default", "consistent", "cached", "delegated")
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_KEYS = (
    "type",
    "source",
    "target",
    "readonly",
    "consistency",
    "bind-propagation",
    "bind-nonrecursive",
    "bind-recursive",
    "volume-nocopy",
    "volume-label",
    "volume-driver",
    "volume-opt",
    "tmpfs-size",
    "tmpfs-mode",
)
_REPEATED = ("volume-label", "volume-opt")
_SWITCHES = ("readonly", "bind-nonrecursive", "volume-nocopy")
_FIELD = re.compile(r'"((?:[^"]|"")*)"|([^",]*)')
_TMPFS_FLAG = r"(no)?(suid|dev|exec|mand|atime|diratime|relatime|strictatime)|sync|async|dirsync"
_TMPFS_VALUES = {
    "nr_inodes": r"[0-9]{1,18}[kmg]?",
    "nr_blocks": r"[0-9]{1,18}[kmg]?",
    "uid": r"[0-9]{1,9}",
    "gid": r"[0-9]{1,9}",
    "huge": r"never|always|within_size|advise",
    "mpol": r"[a-z]+(=[a-z]+)?(:[0-9,-]+)?",
}


def parse_volume(text: str, cwd: str) -> Mount:
    """Read -v [SOURCE:]TARGET[:OPTIONS]; a source that starts with "." is relative to `cwd`."""
    option = f"-v {text}"
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or not parts[0] or (len(parts) == 2 and _is_mode(parts[1])):
        raise UsageError(
            f"invalid volume in {option!r}", hint="write it as NAME:TARGET, /HOST/PATH:TARGET or TARGET[:OPTIONS]"
        )
    if len(parts) == 1:
        return Mount("volume", clean_target(text, option), anonymous=True)
    modes = _modes(parts[2] if len(parts) == 3 else "", option)
    target = clean_target(parts[1], option)
    source = _absolute(parts[0], cwd)
    if source.startswith("/"):
        if "copy" in modes:
            raise UsageError(
                f"invalid option 'nocopy' in {option!r}", hint="it is for volumes, this is a bind mount"
            )
        mount = Mount("bind", target, clean_source(source, option), create_source=True)
        mount = mount._replace(propagation=_PROPAGATIONS.get(modes.get("propagation", ""), ""))
    else:
        if "propagation" in modes:
            raise UsageError(
                f"invalid option {modes['propagation']!r} in {option!r}", hint="it is for bind mounts"
            )
        mount = Mount("volume", target, check_volume_name(source), no_copy="copy" in modes)
    return mount._replace(read_only=modes.get("access") == "ro")


def _is_mode(text: str) -> bool:
    return all(mode in _MODES for mode in text.split(",")) or not text


def _modes(text: str, option: str) -> dict[str, str]:
    """What the options of -v say, by what they are about: access, label, copy, consistency, propagation."""
    modes: dict[str, str] = {}
    for mode in text.split(",") if text else ():
        about = _MODES.get(mode)
        if about is None or about in modes:
            raise UsageError(
                f"invalid option {mode!r} in {option!r}"
                if about is None
                else f"{option!r} has two {about} options",
                hint="use ro or rw, z or Z, nocopy, [r]shared, [r]slave or [r]private, separated by commas",
            )
        modes[about] = mode
    return modes


def parse_mount(text: str, cwd: str) -> Mount:
    """Read --mount type=bind|volume|tmpfs,target=PATH,KEY=VALUE...; quoted as in a CSV file."""
    option = f"--mount {text}"
    values, repeated = _keys(text, option)
    kind = values.get("type", "volume").lower()
    if kind not in ("bind", "volume", "tmpfs"):
        raise UsageError(f"unknown mount type {kind!r} in {option!r}", hint="use bind, volume or tmpfs")
    if not values.get("target"):
        raise UsageError(f"{option!r} has no target", hint="add target=/PATH/IN/THE/CONTAINER")
    for key in (*values, *repeated):
        prefix = key.partition("-")[0]
        if prefix in ("bind", "volume", "tmpfs") and prefix != kind:
            raise UsageError(f"{option!r} mixes {key!r} with a mount of type {kind}")
    if values.get("consistency", "") not in _CONSISTENCIES:
        raise UsageError(f"invalid consistency {values['consistency']!r} in {option!r}")
    target = clean_target(values["target"], option)
    read_only = _switch(values, "readonly", option)
    source = _absolute(values.get("source", ""), cwd)
    if kind == "bind":
        return _bind(values, Mount("bind", target, source, read_only=read_only), option)
    if kind == "tmpfs":
        return _tmpfs(values, Mount("tmpfs", target, source, read_only=read_only), option)
    return _volume(values, repeated, Mount("volume", target, source, read_only=read_only), option)


def _bind(values: Mapping[str, str], mount: Mount, option: str) -> Mount:
    propagation = values.get("bind-propagation", "")
    if propagation and propagation not in _PROPAGATIONS:
        raise UsageError(f"invalid propagation {propagation!r} in {option!r}", hint=f"use {_some(_PROPAGATIONS)}")
    recursive = values.get("bind-recursive", "enabled")
    if recursive not in ("enabled", "disabled"):
        raise UsageError(f"bind-recursive={recursive} is not supported", hint="use enabled or disabled")
    if _switch(values, "bind-nonrecursive", option):
        recursive = "disabled"
    return mount._replace(
        source=clean_source(mount.source, option),
        propagation=_PROPAGATIONS.get(propagation, ""),
        recursive=recursive == "enabled",
    )


def _volume(values: Mapping[str, str], repeated: Mapping[str, list[str]], mount: Mount, option: str) -> Mount:
    if mount.source:
        check_volume_name(mount.source)
    elif mount.read_only:
        raise UsageError(
            f"{option!r} makes an empty volume that nobody can write", hint="name a volume, or drop ro"
        )
    if values.get("volume-driver", "") not in ("", "local"):
        raise UsageError(f"unknown volume driver {values['volume-driver']!r}", hint="there is only 'local'")
    labels = tuple(parse_pair(item) for item in repeated.get("volume-label", ()))
    options = tuple(parse_pair(item) for item in repeated.get("volume-opt", ()))
    return mount._replace(
        no_copy=_switch(values, "volume-nocopy", option),
        anonymous=not mount.source,
        labels=tuple(dict(labels).items()),
        options=tuple(dict(options).items()),
    )


def _tmpfs(values: Mapping[str, str], mount: Mount, option: str) -> Mount:
    if mount.source:
        raise UsageError(f"{option!r} has a source, which a tmpfs cannot have")
    size = values.get("tmpfs-size")
    mode = values.get("tmpfs-mode")
    return mount._replace(
        tmpfs_size=parse_size(size, "tmpfs-size") if size is not None else None,
        tmpfs_mode=_octal(mode, "tmpfs-mode", option) if mode is not None else None,
    )


def parse_tmpfs(text: str) -> Mount:
    """Read --tmpfs TARGET[:OPTIONS], the options being those of mount(8) that a container may choose."""
    option = f"--tmpfs {text}"
    path, _, options = text.partition(":")
    mount = Mount("tmpfs", clean_target(path, option))
    for word in options.split(",") if options else ():
        mount = _with_tmpfs_option(mount, word, option)
    return mount


def _with_tmpfs_option(mount: Mount, word: str, option: str) -> Mount:
    key, equals, value = word.partition("=")
    if not equals and word in ("ro", "rw"):
        return mount._replace(read_only=word == "ro")
    if key == "size" and not value.endswith("%"):
        return mount._replace(tmpfs_size=parse_size(value, option))
    if key == "mode" and equals:
        return mount._replace(tmpfs_mode=_octal(value, "mode", option))
    pattern = r"[0-9]{1,3}%" if key == "size" else _TMPFS_VALUES.get(key, "(?!)")
    if not (re.fullmatch(pattern, value, re.ASCII) if equals else re.fullmatch(_TMPFS_FLAG, word)):
        raise UsageError(
            f"invalid tmpfs option {word!r} in {option!r}", hint="such as size=64m, mode=1777 or noexec"
        )
    return mount._replace(tmpfs_options=(*mount.tmpfs_options, word))


def check_targets(mounts: Iterable[Mount]) -> None:
    """Raise UsageError when two mounts have the same target."""
    seen: set[str] = set()
    for mount in mounts:
        if mount.target in seen:
            raise UsageError(f"duplicate mount point: {mount.target}")
        seen.add(mount.target)


def clean_target(path: str, option: str) -> str:
    """The normalised form of a path in a container; UsageError for one that nothing can be mounted on."""
    if not path.startswith("/") or "\0" in path:
        raise UsageError(
            f"invalid mount target {path!r} in {option!r}", hint="it is an absolute path in the container"
        )
    target = _normal(path)
    if target in ("/", "/proc", "/sys") or target.startswith("/proc/"):
        raise UsageError(f"nothing can be mounted on {target} of a container, as {option!r} asks")
    return target


def clean_source(path: str, option: str) -> str:
    """The normalised form of a path on the host."""
    if not path.startswith("/") or "\0" in path:
        raise UsageError(
            f"invalid mount source {path!r} in {option!r}", hint="it is an absolute path, or starts with ./"
        )
    return _normal(path)


def check_volume_name(name: str) -> str:
    """The name, or UsageError when it is outside docker's grammar."""
    if re.fullmatch(VOLUME_NAME, name):
        return name
    hint = "a volume's name has 2 to 255 letters, digits, '_', '.' or '-', and starts with a letter or digit"
    if name.startswith("~"):
        hint = "'~' is expanded by your shell, and only at the start of an unquoted word; write $HOME instead"
    elif "/" in name:
        hint = f"for a directory of the host give its absolute path, or ./{name}"
    raise UsageError(f"invalid volume name {name!r}", hint=hint)


def parse_pair(text: str) -> tuple[str, str]:
    """Read KEY or KEY=VALUE, as labels and driver options are written."""
    key, _, value = text.partition("=")
    if not key or "\0" in text:
        raise UsageError(f"invalid label or option {text!r}", hint="write it as KEY or KEY=VALUE")
    return key, value


def _normal(path: str) -> str:
    # normpath keeps a double slash at the start
    return "/" + os.path.normpath(path).lstrip("/")


def _absolute(source: str, cwd: str) -> str:
    return os.path.join(cwd, source) if source.startswith(".") else source


def _keys(text: str, option: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The keys of --mount by their first name, the last value winning, and all values of those that repeat."""
    values: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for field in fields(text, option):
        name, equals, value = field.partition("=")
        key = _ALIASES.get(name.lower(), name.lower())
        if key not in _KEYS:
            raise UsageError(f"unknown key {name!r} in {option!r}", hint=_did_you_mean(key))
        if not equals and key not in _SWITCHES:
            raise UsageError(f"the key {name!r} in {option!r} has no value", hint=f"write {name}=VALUE")
        if key in _REPEATED:
            repeated.setdefault(key, []).append(value)
        else:
            values[key] = value if equals else "true"
    return values, repeated


def fields(text: str, option: str) -> list[str]:
    """The comma separated fields of --mount, out of their quotes."""
    found = []
    position = 0
    while True:
        match = _FIELD.match(text, position)
        assert match  # it matches nothing at least
        found.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        position = match.end() + 1
        if match.end() == len(text):
            return found
        if text[match.end()] != ",":
            raise UsageError(f"misplaced quote in {option!r}", hint='quote a whole field: "source=/a,b"')


def joined(values: Iterable[str]) -> str:
    """Fields as `fields` reads them, in quotes where they have a comma or a quote in them."""
    return ",".join('"' + value.replace('"', '""') + '"' if set(value) & set(',"') else value for value in values)


def _did_you_mean(key: str) -> str:
    import difflib

    near = difflib.get_close_matches(key, [*_KEYS, *_ALIASES], n=1)
    return f"did you mean {near[0]!r}?" if near else f"the keys are {_some(_KEYS)}"


def _some(names: Iterable[str]) -> str:
    return ", ".join(names)


def _switch(values: Mapping[str, str], key: str, option: str) -> bool:
    said = truth(values.get(key, "false"))
    if said is None:
        raise UsageError(f"invalid value {values[key]!r} for {key} in {option!r}", hint="use true or false")
    return said


def _octal(text: str, key: str, option: str) -> int:
    if not re.fullmatch(r"[0-7]{1,5}", text, re.ASCII) or int(text, 8) > 0o7777:
        raise UsageError(f"invalid {key} {text!r} in {option!r}", hint="write it in octal: 1777")
    return int(text, 8)
