#!/usr/bin/env bash
# Makes a virtual environment with devbox in it: provision/venv.sh DIRECTORY [editable]
# "editable" runs the checkout itself and adds the developers' tools. Without it devbox is copied there and compiled.
# Idempotent: nothing is done when the environment already has what the checkout would give it.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
venv=${1:?usage: provision/venv.sh DIRECTORY [editable]}
mode=${2:-copy}
unset PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH

say() { printf 'provision: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# A python3 that comes first on PATH may be a version manager's shell script, ten times as slow to start.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 /usr/bin/python3.1[1-9] /usr/local/bin/python3 "$(command -v python3 || true)" \
        /opt/homebrew/bin/python3.1[1-9] /usr/local/bin/python3.1[1-9]; do
        if [ -x "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "devbox needs Python 3.11 or later with its venv module: apt-get install python3 python3-venv"
}

# What the environment was made from. An editable one follows the checkout, so only its requirements count.
fingerprint() {
    cd "$checkout"
    {
        echo "$mode $("$python" -c 'import sys; print(sys.version)')"
        cat pyproject.toml provision/venv.sh
        [ "$mode" = editable ] || find devbox -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 "${sum[@]}"
    } | "${sum[@]}"
}

# pip's launcher has `site` look for .pth files first, which takes 2 of the 28 ms of `devbox ps`; -I keeps the caller's
# PYTHON* variables out of a program that root runs. A path with blanks or too long for #! stays with pip's launcher.
write_launcher() {
    "$venv/bin/python" -I - "$venv/bin/devbox" <<'END'
import sys, sysconfig
with open(sys.argv[1], "r+") as file:
    if file.readline() == f"#!{sys.executable}\n":
        file.seek(0)
        file.truncate()
        file.write(f"#!{sys.executable} -IS\nimport sys\n\n")
        file.write(f"sys.path.append({sysconfig.get_path('purelib')!r})\nfrom devbox.cli.main import main\n\nmain()\n")
END
}

sum=(sha256sum)
command -v sha256sum >/dev/null || sum=(shasum -a 256) # macOS
python=$(find_python)
mkdir -p "$venv" || fail "$venv cannot be written: is the disk full or mounted read-only?"
if command -v flock >/dev/null; then
    exec 9<"$venv"
    flock --nonblock 9 || {
        say "waiting for another installation into $venv"
        flock 9
    }
fi
wanted=$(fingerprint)
if [ -f "$venv/installed-from" ] && [ "$(cat "$venv/installed-from")" = "$wanted" ]; then
    exit 0
fi
rm -f "$venv/installed-from"
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then # an interrupted run may have left a part
    [ -f "$venv/pyvenv.cfg" ] || [ -z "$(ls -A "$venv")" ] ||
        fail "$venv is neither empty nor a virtual environment: delete it or choose another directory"
    say "making the virtual environment $venv"
    "$python" -m venv --clear "$venv"
fi
pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet install --compile)
if [ "$mode" = editable ]; then
    say "installing devbox and the developers' tools into $venv"
    "${pip[@]}" --editable "${checkout}[dev,docs]" || fail "pip could not install them: see its message above"
else
    say "installing devbox into $venv"
    "${pip[@]}" "$checkout" || fail "pip could not install devbox: see its message above"
    write_launcher
fi
# devbox starts two to three times as fast from compiled bytecode; pip may have been told not to write any
"$venv/bin/python" -m compileall -q -j 0 "$venv/lib" || fail "compiling $venv/lib failed"
[ "$mode" != editable ] || "$venv/bin/python" -m compileall -q "$checkout/devbox"
printf '%s\n' "$wanted" >"$venv/installed-from"
