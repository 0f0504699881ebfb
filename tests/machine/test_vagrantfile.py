"""Vagrantfile.template in every provider's branch, in Ruby, with a stand-in for Vagrant that notes all it is told.

The code of virtualbox, hyperv and libvirt is here and is asked whether it knows the settings; that the others take
theirs is from their documentation.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

TEMPLATE = Path(__file__).parents[2] / "Vagrantfile.template"
STAND_IN = r"""
require "json"
class Notes < BasicObject
  def initialize(path, notes) = (@path, @notes = path, notes)
  def method_missing(name, *args, **named, &block)
    path = "#{@path}.#{name}"
    args << named unless named.empty?
    key = name == :[]= ? "#{@path}[#{args.shift}]" : path.chomp("=")
    (@notes[key] = (@notes[key] || []) + [args]) unless args.empty?
    block.call(::Notes.new("#{args.first}", @notes)) if block
    ::Notes.new(path, @notes)
  end
  def respond_to_missing?(*) = true
end
module Vagrant
  module Errors
    class VagrantError < StandardError; end
  end
  NOTES = {}
  def self.configure(_version) = yield(Notes.new("config", NOTES))
end
load ARGV[0]
puts JSON.generate(Vagrant::NOTES)
"""
PROVIDERS = ("virtualbox", "libvirt", "qemu", "vmware_desktop", "parallels", "hyperv")

pytestmark = pytest.mark.skipif(shutil.which("ruby") is None, reason="provision/debian.sh machine brings ruby")


def evaluate(directory: Path, **changes: Any) -> dict[str, Any]:
    machine = {
        "provider": "virtualbox", "box": "devbox-1", "hostname": "devbox-x", "cpus": 3, "memory": 1234,
        "boot_timeout": 600, "accelerated": True, "session": False, "pool": "/p", "prefix": "devbox_x_",
        "ssh_port": 50123, "arch": "aarch64", "host": "darwin",
    }  # fmt: skip
    (directory / "machine.json").write_text(json.dumps(machine | changes))
    shutil.copyfile(TEMPLATE, directory / "Vagrantfile")
    (directory / "stand_in.rb").write_text(STAND_IN)
    line = ["ruby", "-w", str(directory / "stand_in.rb"), str(directory / "Vagrantfile")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    notes: dict[str, Any] = json.loads(done.stdout)
    return notes


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_gets_its_cpus_and_memory(tmp_path: Path, provider: str) -> None:
    notes = evaluate(tmp_path, provider=provider)
    told = json.dumps({key: value for key, value in notes.items() if not key.startswith("config")})
    assert "1234" in told
    assert notes["config.vm.provider"] == [[provider]]
    assert notes["config.vm.box"] == [["devbox-1"]]
    assert notes["config.vm.synced_folder"][0][1:] == ["/vagrant", {"disabled": True}]


def test_qemu_gets_a_port_of_its_own(tmp_path: Path) -> None:
    notes = evaluate(tmp_path, provider="qemu")
    assert notes["qemu.ssh_port"] == [[50123]]
    ((words,),) = notes["qemu.extra_qemu_args"]
    assert words[3].endswith("hostfwd=tcp:127.0.0.1:50123-:22")


def test_qemu_gets_a_share_as_one_argument(tmp_path: Path) -> None:
    share = {"host": "/a b,c/#{x}", "guest": "/w", "kind": "9p", "tag": "t"}
    notes = evaluate(tmp_path, provider="qemu", shares=[share])
    assert len(notes["config.vm.synced_folder"]) == 1
    ((words,),) = notes["qemu.extra_qemu_args"]
    options = "local,path=/a b,,c/#{x},mount_tag=t,security_model=none,multidevs=remap"
    assert words[4:] == ["-virtfs", options]


def test_virtiofs_needs_memory_that_is_shared(tmp_path: Path) -> None:
    share = {"host": "/a", "guest": "/w", "kind": "virtiofs", "tag": "t"}
    told = evaluate(tmp_path, provider="libvirt", shares=[share])["libvirt.memorybacking"]
    assert told == [["access", {"mode": "shared"}], ["source", {"type": "memfd"}]]
    assert "libvirt.memorybacking" not in evaluate(tmp_path, provider="libvirt")


@pytest.mark.parametrize(
    ("provider", "key", "told"),
    [
        ("virtualbox", "config.vm.disk", [["disk", {"size": "40GB", "primary": True}]]),
        ("libvirt", "libvirt.machine_virtual_size", [[40]]),
        ("qemu", "qemu.disk_resize", [["40G"]]),
        ("parallels", "parallels.customize", [[["set", None, "--device-set", "hdd0", "--size", "40960"]]]),
        ("hyperv", "config.vm.disk", [["disk", {"size": "40GB", "primary": True}]]),
        ("vmware_desktop", "config.vm.disk", [["disk", {"size": "40GB", "primary": True}]]),
    ],
)
def test_a_disk_size_is_asked_for_if_it_is_wanted(
    tmp_path: Path, provider: str, key: str, told: list[Any]
) -> None:
    found = evaluate(tmp_path, provider=provider, disk=40)[key]
    assert json.dumps(found).replace('"id"', "null") == json.dumps(told)
    assert key not in evaluate(tmp_path, provider=provider, disk=0)


def test_hyperv_is_never_asked_for_a_switch(tmp_path: Path) -> None:
    notes = evaluate(tmp_path, provider="hyperv")
    assert notes["config.vm.network"] == [["public_network", {"bridge": "Default Switch"}]]


def test_values_stay_data(tmp_path: Path) -> None:
    nasty = "\"; File.write('/tmp/x', '') #{raise} \\ ' \n%s é"
    assert evaluate(tmp_path, box=nasty)["config.vm.box"] == [[nasty]]


@pytest.mark.parametrize(
    ("provider", "kind", "told"),
    [
        ("libvirt", "9p", {"type": "9p", "accessmode": "squash", "mount": False}),
        ("libvirt", "virtiofs", {"type": "virtiofs", "mount": False}),
        (
            "parallels",
            "nfs",
            {
                "type": "nfs",
                "nfs_version": 4,
                "nfs_udp": False,
                "linux__nfs_options": ["rw", "no_subtree_check", "all_squash"],
            },
        ),
        ("qemu", "rsync", {"type": "rsync", "rsync__args": ["--archive", "--delete", "-z"], "rsync__auto": False}),
        ("virtualbox", "virtualbox", {"type": "virtualbox", "SharedFoldersEnableSymlinksCreate": False}),
        ("hyperv", "smb", {"type": "smb"}),
        ("parallels", "parallels", {}),
        ("vmware_desktop", "vmware", {}),
    ],
)
def test_a_share_is_told_as_data(tmp_path: Path, provider: str, kind: str, told: dict[str, Any]) -> None:
    share = {"host": "/a b/#{x}", "guest": "/w';x", "kind": kind, "tag": "t"}
    notes = evaluate(tmp_path, provider=provider, shares=[share])
    host, guest, options = notes["config.vm.synced_folder"][1]
    assert (host, guest) == (share["host"], share["guest"])
    assert options == {"id": "t", "create": False} | ({"automount": False} if kind == "virtualbox" else {}) | told
    with pytest.raises(RuntimeError, match="kind of share"):
        evaluate(tmp_path, shares=[share | {"kind": "telepathy"}])


KNOWS = r"""
require "vagrant"
known = {
  "virtualbox" => ["plugins/providers/virtualbox/config", "VagrantPlugins::ProviderVirtualBox::Config"],
  "hyperv" => ["plugins/providers/hyperv/config", "VagrantPlugins::HyperV::Config"],
  "libvirt" => ["vagrant-libvirt/config", "VagrantPlugins::ProviderLibvirt::Config"],
}
require "vagrant-libvirt" if ARGV[0] == "libvirt"
file, name = known.fetch(ARGV[0])
require ARGV[0] == "libvirt" ? file : Vagrant.source_root.join(file).to_s
config = Object.const_get(name).new
puts ARGV[1..].reject { |word| config.respond_to?(word) || config.respond_to?("#{word}=") }
"""


@pytest.mark.skipif(shutil.which("vagrant") is None, reason="provision/debian.sh machine brings vagrant")
@pytest.mark.parametrize("provider", ["virtualbox", "hyperv", "libvirt"])
def test_the_providers_own_code_knows_every_setting(provider: str) -> None:
    words = sorted(set(re.findall(r"^ +v\.(\w+)", _branch(provider), re.MULTILINE)))
    assert len(words) > 3
    line = ["ruby", "-e", KNOWS, provider, *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    done = subprocess.run([*line, "no_such_setting"], capture_output=True, text=True, check=True)
    assert done.stdout == "no_such_setting\n"


def _branch(provider: str) -> str:
    """The template's text about a provider."""
    found = re.search(rf'\n  when "{provider}"\n(.*?)\n  (when|else)', TEMPLATE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_an_unknown_provider_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no provider"):
        evaluate(tmp_path, provider="bochs")
