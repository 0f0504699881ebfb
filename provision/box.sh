#!/usr/bin/env bash
# Builds devbox's own box from Debian packages, the engine's among them: provision/box.sh systemd|fast DIRECTORY
#   systemd  an ordinary Debian, for people
#   fast     busybox as init and few kernel modules, for tests: it boots in seconds even without KVM
# It leaves box.qcow2, devbox.box (for libvirt) and metadata.json with the sha256 in DIRECTORY. Needs root and the
# packages of `provision/debian.sh machine`. The kernel is booted directly, so there is no boot loader in the disk.
set -euo pipefail
cd "$(dirname "$0")"
flavour=${1:?usage: provision/box.sh systemd|fast DIRECTORY}
target=${2:?usage: provision/box.sh systemd|fast DIRECTORY}
case "$flavour" in
    systemd) size=20G memory=2048 append="root=/dev/vda rw quiet console=ttyS0 net.ifnames=0" ;;
    fast)
        size=4G memory=768
        append="root=/dev/vda rw quiet console=ttyS0 init=/lite/init slirp=1 mitigations=off no5lvl audit=0"
        append+=" init_on_alloc=0 nokaslr tsc=reliable random.trust_cpu=on cryptomgr.notests 8250.nr_uarts=1"
        append+=" page_alloc.shuffle=0"
        ;;
    *)
        printf 'box: unknown flavour %s: use systemd or fast\n' "$flavour" >&2
        exit 2
        ;;
esac
mkdir -p "$target"
target=$(realpath "$target")
work=$(mktemp -d "$target/.build-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"

say() { printf 'box: [%3d s] %s\n' "$SECONDS" "$*" >&2; }

packages=$(./debian.sh list engine | paste -sd,)
packages+=,openssh-server,sudo,busybox-static,kmod,procps,ca-certificates
[ "$flavour" = fast ] || packages+=,systemd-sysv,systemd-resolved,libpam-systemd,dbus,udev,rsync,acpid
slim=()
for what in doc man locale; do slim+=(--dpkgopt="path-exclude=/usr/share/$what/*"); done

say "packages"
if ! mmdebstrap --variant=minbase --mode=root "${slim[@]}" --include="$packages" \
    --customize-hook="'$PWD/box/customize.sh' '$flavour' \"\$1\" '$work/out'" \
    bookworm "$work/root" >"$work/log" 2>&1; then
    tail -n 30 "$work/log" >&2
    exit 1
fi

say "disk"
truncate -s "$size" "$work/disk"
mke2fs -q -F -t ext4 -L devbox -E lazy_itable_init=1,root_owner=0:0 -d "$work/root" "$work/disk"
qemu-img convert -O qcow2 "$work/disk" "$work/out/box.img"
rm "$work/disk"

say "box"
printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": %d}\n' "${size%G}" >"$work/out/metadata.json"
{
    cat <<'END'
Vagrant.configure("2") do |config|
  config.vm.guest = :debian
  config.vm.provider :libvirt do |v|
    v.kernel = File.expand_path("vmlinux", __dir__)
    v.initrd = File.expand_path("initrd.img", __dir__)
END
    printf '    v.cmd_line = "%s"\n    v.memory = %d\n    v.cpus = 2\n' "$append" "$memory"
    [ "$flavour" != fast ] || printf '    v.disk_driver :cache => "unsafe"\n'
    printf '  end\n'
    [ "$flavour" != fast ] || printf '  config.ssh.insert_key = false\n'
    printf 'end\n'
} >"$work/out/Vagrantfile"
tar -C "$work/out" -I 'gzip -1' -cf "$work/devbox.box" ./metadata.json ./Vagrantfile ./box.img ./vmlinux ./initrd.img
digest=$(sha256sum "$work/devbox.box" | cut -d' ' -f1)
cat >"$work/metadata.json" <<END
{
  "name": "devbox/$flavour",
  "versions": [
    {
      "version": "$(date -u +%Y%m%d).0.0",
      "providers": [
        {
          "name": "libvirt",
          "url": "file://$target/devbox.box",
          "checksum_type": "sha256",
          "checksum": "$digest"
        }
      ]
    }
  ]
}
END
mv "$work/out/box.img" "$target/box.qcow2"
mv "$work/devbox.box" "$work/metadata.json" "$target/"
say "$target/devbox.box: $(du -m "$target/devbox.box" | cut -f1) MB, sha256 $digest"
