from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devbox.store.root import Root
from devbox.store.scratch import scratch, sweep


@pytest.fixture
def root(tmp_path: Path) -> Root:
    (tmp_path / "tmp").mkdir()
    return Root(str(tmp_path), str(tmp_path / "run"))


def test_it_is_gone_at_the_end_even_after_a_failure(root: Root) -> None:
    with pytest.raises(KeyError), scratch(root, "load") as path:
        Path(path, "file").write_text("half")
        raise KeyError
    assert os.listdir(root.scratch) == []


def test_what_was_renamed_out_stays(root: Root) -> None:
    with scratch(root, "load") as path:
        os.mkdir(path + "/layer")
        os.rename(path + "/layer", root.state + "/layer")
    assert os.path.isdir(root.state + "/layer")


def test_a_sweep_spares_the_living_and_takes_the_dead(root: Root) -> None:
    script = (
        "import sys, time; from devbox.store.root import Root; from devbox.store.scratch import scratch\n"
        "with scratch(Root(sys.argv[1], ''), 'load') as path:\n"
        "    open(path + '/file', 'w').close(); print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, root.state], stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert sweep(root) == 0
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert sweep(root) == 1
    assert os.listdir(root.scratch) == []
