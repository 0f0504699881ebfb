"""Mounts of a RUN step, as far as they are made without a kernel's help."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from devbox.build.executing.stepmounts import MountMaker, Places
from devbox.build.files.selection import no_check
from devbox.build.planning.steps import Given, MountWish
from devbox.store.database import Store
from devbox.store.root import Root


def test_of_two_who_begin_a_cache_one_leaves_nothing(tmp_path: Path) -> None:
    root = Root(str(tmp_path / "state"), str(tmp_path / "run"))
    wish = MountWish("cache", "/cache", uid=os.getuid(), gid=os.getgid())
    with Store.open(root) as store, contextlib.ExitStack() as held:
        maker = MountMaker(store, Places("", ""), Given(), lambda *_: "", held=held, check=no_check)
        cache = tmp_path / "cache"
        for name in ("first", "second"):
            maker._begin_cache(wish, str(cache), "")
            (cache / "data" / name).touch()
        assert [path.name for path in cache.iterdir()] == ["data"]
        assert sorted(path.name for path in (cache / "data").iterdir()) == ["first", "second"]
