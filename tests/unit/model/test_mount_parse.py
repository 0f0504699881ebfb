from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.model.codec import dump_config, load_config
from devbox.model.container import ContainerConfig
from devbox.model.mount import Mount
from devbox.model.mount_parse import check_targets, parse_mount, parse_tmpfs, parse_volume

CWD = "/home/me/project"


def bind(source: str, target: str, **fields: object) -> Mount:
    return Mount("bind", target, source, create_source=True)._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/data", Mount("volume", "/data", anonymous=True)),
        ("cache:/data", Mount("volume", "/data", "cache")),
        ("cache:/data:", Mount("volume", "/data", "cache")),
        ("cache:/data:ro,nocopy", Mount("volume", "/data", "cache", read_only=True, no_copy=True)),
        ("cache:/data:z,rw", Mount("volume", "/data", "cache")),
        ("cache:/a//b/../c/", Mount("volume", "/a/c", "cache")),
        ("cache://data", Mount("volume", "/data", "cache")),
        ("/srv:/data", bind("/srv", "/data")),
        ("//srv/./x:/data", bind("/srv/x", "/data")),
        ("/:/host:ro", bind("/", "/host", read_only=True)),
        ("/srv:/data:ro,Z,rslave,cached", bind("/srv", "/data", read_only=True, propagation="rslave")),
        ("/srv:/data:shared", bind("/srv", "/data", propagation="shared")),
        (".:/app", bind(CWD, "/app")),
        ("./src:/app", bind(f"{CWD}/src", "/app")),
        ("../other:/app", bind("/home/me/other", "/app")),
        (".hidden:/app", bind(f"{CWD}/.hidden", "/app")),
        ("/proc:/host/proc", bind("/proc", "/host/proc")),
        ("/a b\n:/c d,e", bind("/a b\n", "/c d,e")),
    ],
)  # fmt: skip
def test_volumes(text: str, mount: Mount) -> None:
    assert parse_volume(text, CWD) == mount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid volume"),
        (":/data", "invalid volume"),
        ("/data:ro", "invalid volume"),
        ("/data:", "invalid volume"),
        ("a:b:c:d", "invalid volume"),
        ("data", "invalid mount target"),
        ("cache:data", "invalid mount target"),
        ("cache:/da\0ta", "invalid mount target"),
        ("/sr\0v:/data", "invalid mount source"),
        ("cache:/", "can be mounted on /"),
        ("cache:/x/..", "can be mounted on /"),
        ("cache:/../", "can be mounted on /"),
        ("/proc", "can be mounted on /proc"),
        ("/x:/proc/self", "can be mounted on /proc/self"),
        ("/x:/sys", "can be mounted on /sys"),
        ("cache:/data:xx", "invalid option 'xx'"),
        ("cache:/data:ro,rw", "two access options"),
        ("cache:/data:z,Z", "two label options"),
        ("cache:/data:shared", "invalid option 'shared'"),
        ("/srv:/data:nocopy", "invalid option 'nocopy'"),
        ("/srv:/data:ro,", "invalid option ''"),
        ("~/src:/app", "invalid volume name"),
        ("src/lib:/app", "invalid volume name"),
        ("-x:/app", "invalid volume name"),
        ("x:/app", "invalid volume name"),
        ("caché:/app", "invalid volume name"),
    ],
)
def test_refused_volumes(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_volume(text, CWD)
    assert "\n" not in caught.value.message


def test_a_tilde_that_the_shell_did_not_expand_is_explained() -> None:
    with pytest.raises(UsageError) as caught:
        parse_volume("~/src:/app", CWD)
    assert "$HOME" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("target=/data", Mount("volume", "/data", anonymous=True)),
        ("type=volume,source=cache,target=/data", Mount("volume", "/data", "cache")),
        ("TYPE=Volume,SRC=cache,dst=/data,RO", Mount("volume", "/data", "cache", read_only=True)),
        ("src=cache,destination=/data,readonly=false", Mount("volume", "/data", "cache")),
        ("src=cache,dst=/data,volume-nocopy", Mount("volume", "/data", "cache", no_copy=True)),
        ("dst=/d,volume-label=a=1,volume-label=b,volume-label=a=2",
         Mount("volume", "/d", anonymous=True, labels=(("a", "2"), ("b", "")))),
        ("src=nas,dst=/d,volume-driver=local,volume-opt=type=nfs,\"volume-opt=o=addr=1.2.3.4,rw\"",
         Mount("volume", "/d", "nas", options=(("type", "nfs"), ("o", "addr=1.2.3.4,rw")))),
        ("type=bind,src=/srv,dst=/data", Mount("bind", "/data", "/srv")),
        ("type=bind,src=./x,dst=/data", Mount("bind", "/data", f"{CWD}/x")),
        ("type=bind,src=.,dst=/data,ro=1", Mount("bind", "/data", CWD, read_only=True)),
        ("type=bind,src=/srv,dst=/d,bind-propagation=rshared,consistency=cached",
         Mount("bind", "/d", "/srv", propagation="rshared")),
        ("type=bind,src=/srv,dst=/d,bind-nonrecursive", Mount("bind", "/d", "/srv", recursive=False)),
        ("type=bind,src=/srv,dst=/d,bind-recursive=disabled", Mount("bind", "/d", "/srv", recursive=False)),
        ('type=bind,"source=/a,b",target=/d', Mount("bind", "/d", "/a,b")),
        ('type=bind,"source=/a""b",target=/d', Mount("bind", "/d", '/a"b')),
        ("type=bind,source=/a=b,target=/d", Mount("bind", "/d", "/a=b")),
        ("type=tmpfs,dst=/t", Mount("tmpfs", "/t")),
        ("type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1770",
         Mount("tmpfs", "/t", tmpfs_size=64 << 20, tmpfs_mode=0o1770)),
    ],
)  # fmt: skip
def test_mounts(text: str, mount: Mount) -> None:
    assert parse_mount(text, CWD) == mount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown key ''"),
        ("type=bind,src=/srv", "no target"),
        ("type=bind,dst=/d", "invalid mount source ''"),
        ("type=bind,src=srv,dst=/d", "invalid mount source 'srv'"),
        ("type=bind,src=/srv,dst=d", "invalid mount target"),
        ("type=bind,src=/srv,dst=/", "can be mounted on /"),
        ("type=npipe,src=/srv,dst=/d", "unknown mount type 'npipe'"),
        ("type=bind,src=/srv,dst=/d,volume-nocopy", "mixes 'volume-nocopy'"),
        ("type=volume,dst=/d,tmpfs-size=1m", "mixes 'tmpfs-size'"),
        ("type=tmpfs,dst=/d,bind-propagation=shared", "mixes 'bind-propagation'"),
        ("type=tmpfs,dst=/d,volume-label=a", "mixes 'volume-label'"),
        ("type=tmpfs,src=/x,dst=/d", "has a source"),
        ("type=tmpfs,dst=/d,tmpfs-mode=9", "invalid tmpfs-mode"),
        ("type=tmpfs,dst=/d,tmpfs-mode=77777", "invalid tmpfs-mode"),
        ("type=tmpfs,dst=/d,tmpfs-size=big", "invalid size"),
        ("dst=/d,ro", "nobody can write"),
        ("src=a/b,dst=/d", "invalid volume name"),
        ("src=cache,dst=/d,volume-driver=rexray", "unknown volume driver"),
        ("src=cache,dst=/d,volume-label==x", "invalid label"),
        ("type=bind,src=/s,dst=/d,bind-propagation=up", "invalid propagation"),
        ("type=bind,src=/s,dst=/d,bind-recursive=readonly", "not supported"),
        ("type=bind,src=/s,dst=/d,consistency=x", "invalid consistency"),
        ("type=bind,src=/s,dst=/d,readonly=maybe", "invalid value 'maybe'"),
        ("type=bind,src=/s,dst", "no value"),
        ('type=bind,"src=/s,dst=/d', "misplaced quote"),
        ('type=bind,src="/s",dst=/d', "misplaced quote"),
    ],
)
def test_refused_mounts(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_mount(text, CWD)


def test_a_mistyped_key_is_corrected() -> None:
    with pytest.raises(UsageError, match="unknown key 'sorce'") as caught:
        parse_mount("type=bind,sorce=/a,target=/b", CWD)
    assert caught.value.hint == "did you mean 'source'?"


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/run", Mount("tmpfs", "/run")),
        ("/run:", Mount("tmpfs", "/run")),
        ("/run/:size=64m,mode=700,noexec,ro",
         Mount("tmpfs", "/run", read_only=True, tmpfs_size=64 << 20, tmpfs_mode=0o700, tmpfs_options=("noexec",))),
        ("/run:rw,exec,size=50%,uid=7,nr_inodes=10k",
         Mount("tmpfs", "/run", tmpfs_options=("exec", "size=50%", "uid=7", "nr_inodes=10k"))),
    ],
)  # fmt: skip
def test_tmpfs(text: str, mount: Mount) -> None:
    assert parse_tmpfs(text) == mount


@pytest.mark.parametrize(
    "text",
    ["", "run", "/", "/run:size=x", "/run:mode=8", "/run:bind", "/run:uid=-1", "/run:source=/etc", "/run:nosuch=",
     "/run:exec=1", "/run:uid", "/run:size=", "/run:,", "/run:mpol=bind:/etc"],
)  # fmt: skip
def test_refused_tmpfs(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tmpfs(text)


def test_two_mounts_on_one_target_are_refused() -> None:
    check_targets([parse_volume("/a", CWD), parse_tmpfs("/b")])
    with pytest.raises(UsageError, match="duplicate mount point: /a"):
        check_targets([parse_volume("x1:/a/", CWD), parse_tmpfs("/a")])


def test_a_mount_survives_the_state_file() -> None:
    mount = parse_mount("src=nas,dst=/d,volume-opt=o=addr=1,volume-label=a=b", CWD)
    assert load_config(dump_config(ContainerConfig(mounts=(mount,)))).mounts == (mount,)


WORDS = st.text(st.sampled_from('ab/.:,="~ro\0 é-'), max_size=24)


@pytest.mark.parametrize("option", ["volume", "mount", "tmpfs"])
@given(st.one_of(WORDS, st.text()))
def test_any_text_is_a_mount_or_one_refusal(option: str, text: str) -> None:
    parse: dict[str, Callable[[], Mount]] = {
        "volume": lambda: parse_volume(text, CWD),
        "mount": lambda: parse_mount(text, CWD),
        "tmpfs": lambda: parse_tmpfs(text),
    }
    try:
        mount = parse[option]()
    except UsageError:
        return
    assert mount.target.startswith("/")
    assert mount.target not in ("/", "/proc", "/sys")
    assert not {"..", ".", ""} & set(mount.target.split("/")[1:])
    assert "\0" not in mount.source + mount.target
    assert mount.source.startswith("/") or mount.kind != "bind"


PATHS = st.text(st.characters(codec="utf-8", exclude_characters='\0"'), min_size=1).map(
    lambda name: f"/srv/{name}"
)


@given(PATHS)
def test_a_quoted_field_may_hold_anything(path: str) -> None:
    mount = parse_mount(f'type=bind,"source={path}",target=/d', CWD)
    assert mount.source.startswith("/")
    assert mount == parse_mount(f'"target=/d","source={path}",type=bind', CWD)
