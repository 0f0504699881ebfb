"""Measure devbox beside docker and podman where they are installed, in turn, on one disk; needs root.

python3 benchmarks/run.py                      all rows
python3 benchmarks/run.py --only run --only ps  some of them (--list names all)
python3 benchmarks/run.py --install            get docker and podman with apt first
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path[0] = str(CHECKOUT)

from benchmarks import inside, peers, place  # noqa: E402


def main() -> int:
    """The command."""
    options = inside.parser(__doc__ or "").parse_args()
    if options.list:
        print("\n".join(inside.KEYS))
        return 0
    if os.geteuid() != 0:
        print("benchmarks: namespaces and a loop mount need root: run this with sudo", file=sys.stderr)
        return 1
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if options.install:
        peers.install()
    kept = place.groups()
    directory = Path(tempfile.mkdtemp(prefix="devbox-benchmarks-", dir="/var/tmp"))
    try:
        return _measure(options, directory)
    finally:
        shutil.rmtree(directory)
        place.remove_groups(kept)


def _measure(options: argparse.Namespace, directory: Path) -> int:
    venv = directory / "venv"
    subprocess.run([str(CHECKOUT / "provision/venv.sh"), str(venv)], check=True)
    arguments = [*sys.argv[1:], "--directory", str(directory)]
    if inside.needs_base(options):
        arguments += ["--base", str(_base_archive(venv, directory))]
    return subprocess.run(place.enter("benchmarks.inside", arguments), cwd=CHECKOUT, check=False).returncode


def _base_archive(venv: Path, directory: Path) -> Path:
    """An archive of a bootstrapped Debian, made while there is still a network."""
    archive = directory / "base.tar"
    environment = {**os.environ, "DEVBOX_ROOT": str(directory / "base")}
    print("benchmarks: making a base image of Debian", file=sys.stderr, flush=True)
    for words in (
        ("bootstrap", "debian", "--tag", "base"),
        ("save", "-o", str(archive), "base"),
        ("system", "reset", "--force"),
    ):
        subprocess.run([venv / "bin/devbox", *words], env=environment, stdout=subprocess.DEVNULL, check=True)
    return archive


if __name__ == "__main__":
    sys.exit(main())
