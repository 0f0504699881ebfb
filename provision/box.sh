#!/usr/bin/env bash
# Builds devbox's own box from Debian packages, the engine's among them: provision/box.sh systemd|fast DIRECTORY [ARCH]
#   systemd  an ordinary Debian, for people
#   fast     busybox as init and few kernel modules, for tests: it boots in seconds even without KVM
# ARCH is amd64 or arm64; another than this machine's needs the package qemu-user-static.
# It leaves devbox-PROVIDER-ARCH.box for libvirt, of systemd also for virtualbox and qemu and a bootable
# devbox-ARCH.qcow2, and metadata.json with the sha256 of all boxes in DIRECTORY. DEVBOX_BOX_URL is where they will be
# found, if that is not DIRECTORY. Needs root and the packages of `provision/debian.sh machine`.
set -euo pipefail
cd "$(dirname "$0")"
usage="usage: provision/box.sh systemd|fast DIRECTORY [ARCH]"
flavour=${1:?$usage}
target=${2:?$usage}
native=$(dpkg --print-architecture)
arch=${3:-$native}

say() { printf 'box: [%3d s] %s\n' "$SECONDS" "$*" >&2; }
fail() {
    printf 'box: %s\n' "$*" >&2
    exit 2
}

case "$arch" in
    amd64) console=ttyS0 ;;
    arm64) console=ttyAMA0 ;;
    *) fail "unknown architecture $arch: use amd64 or arm64" ;;
esac
case "$flavour" in
    systemd) gigabytes=20 memory=2048 append="rw quiet console=tty0 console=$console net.ifnames=0" ;;
    fast)
        [ "$arch" = amd64 ] || fail "the fast box is for amd64 only"
        gigabytes=4 memory=768
        append="rw quiet console=ttyS0 init=/lite/init slirp=1 mitigations=off no5lvl audit=0"
        append+=" init_on_alloc=0 nokaslr tsc=reliable random.trust_cpu=on cryptomgr.notests 8250.nr_uarts=1"
        append+=" page_alloc.shuffle=0"
        ;;
    *) fail "unknown flavour $flavour: use systemd or fast" ;;
esac
mkdir -p "$target"
target=$(realpath "$target")
work=$(mktemp -d "$target/.build-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"

# mmdebstrap runs the other architecture's programs, which the kernel must know how to do.
allow_foreign() {
    local rules=/proc/sys/fs/binfmt_misc known=/usr/lib/binfmt.d/qemu-aarch64.conf
    [ "$arch" != "$native" ] || return 0
    [ "$arch" = arm64 ] || fail "$arch cannot be built on $native"
    [ -e "$rules/register" ] || mount -t binfmt_misc binfmt_misc "$rules" || fail "this kernel has no binfmt_misc"
    [ ! -e "$rules/qemu-aarch64" ] || return 0
    [ -e "$known" ] || fail "$arch on $native needs qemu-user-static: apt-get install qemu-user-static"
    cat "$known" >"$rules/register"
}

make_root() {
    local packages
    packages=$(./debian.sh list engine | paste -sd,)
    packages+=,openssh-server,sudo,busybox-static,kmod,procps,ca-certificates,unison
    [ "$flavour" = fast ] || packages+=,systemd-sysv,systemd-resolved,libpam-systemd,dbus,udev,rsync,acpid,sshfs,nfs-common,fdisk
    local -a slim=()
    local what
    for what in doc man locale; do slim+=(--dpkgopt="path-exclude=/usr/share/$what/*"); done
    if ! mmdebstrap --variant=minbase --mode=root --architectures="$arch" "${slim[@]}" --include="$packages" \
        --customize-hook="'$PWD/box/customize.sh' '$flavour' \"\$1\" '$work/out' '$arch'" \
        bookworm "$work/root" >"$work/log" 2>&1; then
        tail -n 30 "$work/log" >&2
        exit 1
    fi
}

# The root file system alone; it leaves room for what a disk with a boot loader has before it.
make_filesystem() {
    truncate -s "$((gigabytes * 1024 - 128))M" "$work/root.ext4"
    mke2fs -q -F -t ext4 -L devbox -E lazy_itable_init=1,root_owner=0:0 -d "$work/root" "$work/root.ext4"
}

# vagrant-libvirt boots the kernel directly: no boot loader, no partitions.
libvirt_box() {
    mkdir "$work/libvirt"
    qemu-img convert -O qcow2 "$work/root.ext4" "$work/libvirt/box.img"
    cp "$work/out/kernel" "$work/libvirt/vmlinux"
    cp "$work/out/initrd.img" "$work/libvirt/"
    {
        cat <<'END'
Vagrant.configure("2") do |config|
  config.vm.guest = :debian
  config.vm.provider :libvirt do |v|
    v.kernel = File.expand_path("vmlinux", __dir__)
    v.initrd = File.expand_path("initrd.img", __dir__)
END
        printf '    v.cmd_line = "%s"\n    v.memory = %d\n    v.cpus = 2\n' "root=LABEL=devbox $append" "$memory"
        [ "$flavour" != fast ] || printf '    v.disk_driver :cache => "unsafe"\n'
        printf '  end\n'
        [ "$flavour" != fast ] || printf '  config.ssh.insert_key = false\n'
        printf 'end\n'
    } >"$work/libvirt/Vagrantfile"
    pack libvirt '"format": "qcow2", "virtual_size": '"$gigabytes"
}

# vagrant-qemu takes the disk as libvirt's boxes have it, and boots it by its own loader.
qemu_box() {
    mkdir "$work/qemu"
    ln "$work/disk.qcow2" "$work/qemu/box.img"
    printf 'Vagrant.configure("2") do |config|\n  config.vm.guest = :debian\nend\n' >"$work/qemu/Vagrantfile"
    pack qemu '"format": "qcow2", "virtual_size": '"$gigabytes"
}

virtualbox_box() {
    mkdir "$work/virtualbox"
    qemu-img convert -O vmdk -o subformat=streamOptimized "$work/disk.qcow2" "$work/virtualbox/box-disk001.vmdk"
    python3 box/ovf.py "$work/virtualbox/box-disk001.vmdk" "$gigabytes" "$memory" >"$work/virtualbox/box.ovf"
    # the network card that Vagrant talks through; VirtualBox gives each machine an address of its own
    cat >"$work/virtualbox/Vagrantfile" <<'END'
Vagrant.configure("2") do |config|
  config.vm.guest = :debian
  config.vm.base_mac = "080027D3B0C5"
end
END
    pack virtualbox ''
}

pack() { # PROVIDER MORE
    local box=devbox-$1-$arch.box
    printf '{"provider": "%s", "architecture": "%s"%s}\n' "$1" "$arch" "${2:+, $2}" >"$work/$1/metadata.json"
    (cd "$work/$1" && tar -I "${GZIP_PROGRAM:-gzip -1}" -cf "$work/$box" --transform 's#^#./#' -- *)
    mv "$work/$box" "$target/"
    say "$target/$box: $(du -m "$target/$box" | cut -f1) MB"
}

allow_foreign
say "packages"
make_root
say "disk"
make_filesystem
libvirt_box
if [ "$flavour" = systemd ]; then
    say "boot loader"
    box/disk.sh "$arch" "$work/root.ext4" "$work/out" "$work/disk" "root=LABEL=devbox $append" "$gigabytes"
    qemu-img convert -O qcow2 "$work/disk" "$work/disk.qcow2"
    rm "$work/disk"
    qemu_box
    [ "$arch" != amd64 ] || virtualbox_box
    mv "$work/disk.qcow2" "$target/devbox-$arch.qcow2"
fi
python3 box/metadata.py "$target" "${DEVBOX_BOX_URL:-file://$target}" "devbox/$flavour" >"$work/metadata.json"
mv "$work/metadata.json" "$target/"
