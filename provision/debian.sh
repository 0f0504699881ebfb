#!/usr/bin/env bash
# Installs what devbox needs on Debian 12 or later: provision/debian.sh engine|test|machine|box, or lists the set with
# provision/debian.sh list SET
# Idempotent: packages that are there are left alone, and apt is not called at all when none is missing.
set -euo pipefail

engine=(
    python3 python3-venv                     # devbox itself
    crun conmon tini                         # runs, watches and (--init) reaps a container's processes
    nftables                                 # networks and published ports
    s6 util-linux procps                     # s6-log keeps logs; flock(1) tells who books an exit; ps for `top`
    apparmor                                 # compiles the default profile, where the kernel has AppArmor
    zstd xz-utils mmdebstrap busybox-static  # images: compression, bootstrap
    git bzip2                                # build: contexts and ADD from repositories, old archives
    isal                                     # push: igzip compresses ten times as fast as gzip
)
machine=(
    vagrant vagrant-libvirt libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils  # runs virtual machines
    openssh-client unison                                                                     # reaches them; mirrors
)
box=(python3 mmdebstrap e2fsprogs lz4 qemu-utils mtools fdisk grub-common)  # builds box files
case "$(dpkg --print-architecture 2>/dev/null)" in amd64) box+=(grub-pc-bin grub-efi-amd64-bin) ;; esac
development=(
    shellcheck strace skopeo umoci runc docker-registry podman iproute2 e2fsprogs openssh-server fish csh unison inotify-tools
    curl tmux gcc libc6-dev vagrant vagrant-libvirt
    qemu-user-static # runs the programs that builds for other architectures run
)

say() { printf 'provision: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

apart=() # what has a command run where Ctrl-C does not reach it

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "${apart[@]}" "$@"
    else
        sudo "${apart[@]}" "$@"
    fi
}

missing() {
    local package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || echo "$package"
    done
}

# One of us at a time: apt waits for the lock of dpkg, but not for that of its lists.
lock() {
    exec 9</var/lib/dpkg
    flock --nonblock 9 || {
        say "waiting for another installation"
        flock 9
    }
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
        apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" | stages
}

# The stages of apt's work, a line for each.
stages() {
    local line now last=
    while IFS= read -r line; do
        case "$line" in
            "Need to get 0 B"*) continue ;;
            "Need to get "*) now="downloading ${line#Need to get }" ;;
            "Unpacking "*) now=unpacking ;;
            "Setting up "*) now="setting up" ;;
            *) continue ;;
        esac
        [ "$now" = "$last" ] || printf 'provision:   %s\n' "$now"
        last=$now
    done
}

# What dpkg has begun it must end, or nobody can install that package again: Ctrl-C and a closed terminal wait for it.
whole() {
    local stopped='' status=0
    local -a apart=(setsid --wait)
    trap 'stopped=yes; say "stopping as soon as the packages are whole"' INT
    (trap '' INT HUP && "$@") &
    wait "$!" || status=$?
    while [ "$stopped" ] && kill -0 "$!" 2>/dev/null; do wait "$!" || true; done
    trap - INT
    [ -z "$stopped" ] || exit 130
    return "$status"
}

# Lists that are missing or old are refreshed once; one that cannot be may be of no importance for these packages.
download() {
    local -a download=(apt install -y --no-install-recommends --download-only "$@")
    "${download[@]}" 2>/dev/null && return
    # an installation that was cut off is to be ended first
    whole as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >/dev/null 2>&1 || true
    say "refreshing the package lists"
    if apt --error-on=any update; then
        "${download[@]}" || fail "apt-get could not find or download $*: see its message above"
    else
        "${download[@]}" 2>/dev/null || fail "apt-get update failed, see its message above: check the network and /etc/apt"
    fi
}

install_packages() {
    local -a wanted
    mapfile -t wanted < <(missing "$@")
    [ "${#wanted[@]}" -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        fail "installing ${wanted[*]} needs root: run this as root, or install sudo"
    lock
    mapfile -t wanted < <(missing "$@")
    [ "${#wanted[@]}" -gt 0 ] || return 0
    say "installing ${wanted[*]}"
    download "${wanted[@]}"
    whole apt install -y --no-install-recommends "${wanted[@]}" ||
        fail "apt-get could not install ${wanted[*]}: see its message above"
    case " ${wanted[*]} " in
        *" docker-registry "*) silence docker-registry ;; # the tests start their own, on loopback
    esac
}

# Stop a service that a package of ours has brought along, now and after a reboot.
silence() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --quiet --now "$1"
    fi
}

packages() {
    case "$1" in
        engine) printf '%s\n' "${engine[@]}" ;;
        test) printf '%s\n' "${engine[@]}" "${development[@]}" ;;
        machine) printf '%s\n' "${machine[@]}" "${box[@]}" ;;
        box) printf '%s\n' "${box[@]}" ;;
        *) fail "unknown set '$1': use engine, test, machine or box" ;;
    esac
}

if [ "${1:-}" = list ]; then
    packages "${2:-engine}"
    exit
fi
[ "$(uname -s)" = Linux ] || fail "$(uname -s) is not supported yet: devbox runs on Debian Linux so far"
command -v apt-get >/dev/null || fail "this Linux has no apt-get: devbox is installed on Debian 12 or later so far"
names=$(packages "${1:-engine}")
mapfile -t chosen <<<"$names"
install_packages "${chosen[@]}"
