"""The driver against a fake vagrant: what it is asked, and every way in which it can go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest

from devbox.errors import HostError, NotFoundError, RefusedError, StateError
from devbox.machine import locking, places, process, records, registry
from devbox.machine.drivers import vagrant_driver, vagrant_program
from devbox.machine.drivers.driver import State
from tests.unit.machine.conftest import Machine

Keys = tuple[paramiko.PKey, paramiko.PKey]
LOCKED = "fail Vagrant can't use the requested machine because it is locked! This\\nmeans that another\n"


def test_up_makes_the_machine_pins_its_key_and_remembers_the_address(machine: Machine, keys: Keys) -> None:
    with machine.server(keys[0]) as port:
        endpoint = machine.driver.up(machine.report)
    assert machine.phases() == ["prepare", "boot", "address", "host key"]
    assert machine.calls == ["up --provider=libvirt", "ssh-config"]
    assert (endpoint.host, endpoint.port, endpoint.user) == ("127.0.0.1", port, "vagrant")
    assert endpoint.key == "/home/ann b/.vagrant.d/key"
    assert endpoint.host_key == f"{keys[0].get_name()} {keys[0].get_base64()}"
    assert registry.endpoint("work") == endpoint
    place = places.machine("work")
    assert Path(place.known_hosts).read_text() == f"work {endpoint.host_key}\n"
    assert all(os.stat(path).st_mode & 0o077 == 0 for path in (place.endpoint, place.known_hosts, place.log))
    description = json.loads(Path(place.description).read_text())
    assert (description["box"], description["session"], description["memory"]) == ("some/box", True, 2048)


def test_a_second_up_keeps_what_must_not_change(machine: Machine, keys: Keys) -> None:
    with machine.server(keys[0]):
        machine.driver.up(machine.report)
        before = Path(places.machine("work").description).read_text()
        machine.driver.halt(machine.report)
        assert machine.driver.status().state is State.STOPPED
        machine.driver.up(machine.report)
    assert Path(places.machine("work").description).read_text() == before
    assert machine.driver.status().state is State.RUNNING


def test_another_host_key_is_refused_with_both_fingerprints(machine: Machine, keys: Keys) -> None:
    with machine.server(keys[0]):
        machine.driver.up(machine.report)
    with machine.server(keys[1]), pytest.raises(RefusedError) as caught:
        machine.driver.up(machine.report)
    assert caught.value.message.count("SHA256:") == 2


def test_a_machine_that_was_made_anew_has_a_new_key(machine: Machine, keys: Keys) -> None:
    with machine.server(keys[0]):
        machine.driver.up(machine.report)
    machine.driver.destroy(machine.report)
    with pytest.raises(NotFoundError):
        registry.endpoint("work")
    assert machine.driver.status().state is State.ABSENT
    with machine.server(keys[1]):
        assert keys[1].get_base64() in machine.driver.up(machine.report).host_key


def test_a_refreshed_endpoint_has_the_new_port_and_the_old_key(machine: Machine, keys: Keys) -> None:
    with machine.server(keys[0]):
        first = machine.driver.up(machine.report)
    (machine.fake / "port").write_text("4711")
    assert machine.driver.endpoint() == first
    assert machine.driver.endpoint(refresh=True) == first._replace(port=4711)
    assert registry.endpoint("work").port == 4711


def test_vagrants_lock_is_waited_for(machine: Machine, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vagrant_program, "_RETRY", 0.01)
    (machine.fake / "up").write_text(LOCKED * 3)
    with machine.server(keys[0]):
        machine.driver.up(machine.report)
    assert machine.calls[:4] == ["up --provider=libvirt"] * 4
    assert sum("another vagrant" in progress.text for progress in machine.told) == 1


def test_a_lock_that_is_never_given_back_is_an_error(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vagrant_program, "_RETRY", 0.01)
    monkeypatch.setattr(vagrant_program, "LOCK_WAIT", 0.1)
    (machine.fake / "up").write_text(LOCKED * 200)
    with pytest.raises(HostError, match="it is locked"):
        machine.driver.up(machine.report)


def test_a_failure_is_told_in_vagrants_last_words(machine: Machine) -> None:
    (machine.fake / "up").write_text("fail noise\\n\\nThe box 'some/box' could not\\nbe found.\n")
    with pytest.raises(HostError, match=r"vagrant up failed: The box 'some/box' could not be found\.") as caught:
        machine.driver.up(machine.report)
    assert "vagrant.log" in caught.value.hint
    assert "noise" in Path(places.machine("work").log).read_text()


def test_what_hangs_is_ended(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vagrant_driver, "_SLOW", 0.5)
    monkeypatch.setattr(process, "_PATIENCE", 0.3)
    (machine.fake / "up").write_text("hang\ndeaf")
    with pytest.raises(HostError, match="longer than"):
        machine.driver.up(machine.report)
    assert not os.path.exists(places.machine("work").running)


def test_a_daemon_that_keeps_the_output_open_does_not_hold_us(machine: Machine, keys: Keys) -> None:
    (machine.fake / "up").write_text("orphan")
    start = time.monotonic()
    with machine.server(keys[0]):
        machine.driver.up(machine.report)
    assert time.monotonic() - start < 2.5


def test_a_disk_left_by_a_killed_start_is_left_behind(machine: Machine, keys: Keys) -> None:
    (machine.fake / "up").write_text("fail Volume for domain is already created. Please run\n")
    with machine.server(keys[0]):
        machine.driver.up(machine.report)
    assert machine.calls[:2] == ["up --provider=libvirt"] * 2


def test_ctrl_c_ends_vagrant_and_the_next_up_goes_on(machine: Machine, keys: Keys) -> None:
    (machine.fake / "up").write_text("hang")
    child = start_up(machine)
    child.send_signal(signal.SIGINT)
    assert child.wait(10) != 0
    assert not os.path.exists(places.machine("work").running)
    (machine.fake / "up").unlink()
    with machine.server(keys[0]):
        machine.driver.up(machine.report)


def test_the_vagrant_of_a_killed_command_is_ended_by_the_next(machine: Machine, keys: Keys) -> None:
    (machine.fake / "up").write_text("hang")
    child = start_up(machine)
    orphan = (records.read_json(places.machine("work").running) or {})["pid"]
    child.kill()
    child.wait()
    (machine.fake / "up").unlink()
    with machine.server(keys[0]):
        machine.driver.up(machine.report)
    assert process.started(orphan) == ""
    assert any(progress.phase == "clean up" for progress in machine.told)


def test_a_reused_process_id_is_left_alone(machine: Machine) -> None:
    record = places.machine("work").running
    records.write_json(record, {"pid": os.getpid(), "started": "1"})
    assert not process.end_orphan(record)
    assert not os.path.exists(record)


def test_two_up_at_once_do_one_job_and_the_second_knows_whom_it_waits_for(machine: Machine, keys: Keys) -> None:
    place = places.machine("work")
    with machine.server(keys[0]):
        machine.driver.up(machine.report)
        calls = len(machine.calls)
        with locking.locked(place.lock, "devbox machine up", lambda _: None):
            second = threading.Thread(target=machine.driver.up, args=(machine.report,))
            second.start()
            wait_until(lambda: any(progress.phase == "wait" for progress in machine.told))
        second.join(10)
    assert f"waiting for process {os.getpid()} (devbox machine up" in machine.told[-2].text
    assert machine.calls[calls:] == ["status --machine-readable"]


def test_snapshots(machine: Machine, keys: Keys) -> None:
    with pytest.raises(StateError, match="does not exist"):
        machine.driver.snapshot_save("first")
    with machine.server(keys[0]):
        machine.driver.up(machine.report)
    machine.driver.snapshot_save("first")
    assert machine.driver.snapshot_list() == ("first", "before upgrade")
    assert machine.calls[-2:] == ["snapshot save first", "snapshot list"]


def test_without_vagrant_it_says_where_to_get_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostError, match="vagrant is not installed"):
        machine.driver.up(machine.report)


def start_up(machine: Machine) -> subprocess.Popen[bytes]:
    """`up` in a process of its own, as far as its vagrant hanging."""
    code = (
        "from devbox.machine import places; from devbox.machine.settings import MachineSettings;"
        "from devbox.machine.drivers.vagrant_driver import VagrantDriver;"
        "settings = MachineSettings('work', 'libvirt', box='some/box');"
        "VagrantDriver(places.machine('work'), settings).up(lambda _: None)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, start_new_session=True)
    wait_until(lambda: "Booting" in read(places.machine("work").log))
    return child


def read(path: str) -> str:
    return Path(path).read_text() if os.path.exists(path) else ""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
