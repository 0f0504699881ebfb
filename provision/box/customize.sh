#!/bin/bash
# Makes a Debian root directory into the box's: customize.sh FLAVOUR ROOT OUT ARCH. Run by provision/box.sh.
# Leaves in OUT: kernel and initrd.img, from which a machine boots directly, vmlinuz for a boot loader, and for arm64
# the modules of GRUB in grub/.
set -euo pipefail
flavour=$1 root=$2 out=$3 arch=$4
here=$(cd "$(dirname "$0")" && pwd)

install_kernel() {
    # Unpacked, not installed: its scripts would build a large initrd. Not `dpkg-deb -x`: it replaces the link /lib.
    local package
    # systemd-resolved's package has made it a link to what does not run here
    rm -f "$root/etc/resolv.conf"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    package=$(chroot "$root" apt-cache depends "linux-image-$arch" | awk '/Depends: linux-image-/ {print $2; exit}')
    unpack "$package" /
    kernel=$(ls "$root/lib/modules")
    # of no use in a virtual machine, and most of its size
    rm -rf "$root/lib/modules/$kernel/kernel/sound"
    (cd "$root/lib/modules/$kernel/kernel/drivers" && rm -rf gpu media infiniband staging isdn bluetooth net/wireless iio)
    chroot "$root" depmod "$kernel"
}

unpack() { # PACKAGE DIRECTORY
    # shellcheck disable=SC2016 # the inner shell expands it
    chroot "$root" sh -euc 'cd /tmp && apt-get download -qq "$1" &&
        dpkg-deb --fsys-tarfile /tmp/"$1"*.deb | tar -x --keep-directory-symlink -C "$2" && rm -f /tmp/*.deb' sh "$1" "$2"
}

keep_kernel() {
    cp "$root/boot/vmlinuz-$kernel" "$out/vmlinuz"
    if [ "$arch" = amd64 ]; then
        python3 "$here/vmlinux.py" "$out/vmlinuz" "$out/kernel"
        return
    fi
    cp "$out/vmlinuz" "$out/kernel"
    mkdir "$root/tmp/grub"
    unpack grub-efi-arm64-bin /tmp/grub
    mv "$root/tmp/grub" "$out/"
}

make_user() {
    chroot "$root" useradd -m -s /bin/bash -U vagrant
    chroot "$root" usermod -p '*' vagrant # '!' would be refused by an sshd without PAM
    echo 'vagrant ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/vagrant"
    chmod 440 "$root/etc/sudoers.d/vagrant"
    # Vagrant's well-known key; on its first start Vagrant puts one of its own in its place
    install -d -m 700 "$root/home/vagrant/.ssh"
    install -m 600 "$here/../vagrant.pub" "$root/home/vagrant/.ssh/authorized_keys"
    chroot "$root" chown -R vagrant:vagrant /home/vagrant/.ssh
}

configure_ssh() {
    cat >"$root/etc/ssh/sshd_config.d/10-devbox.conf" <<'END'
UseDNS no
GSSAPIAuthentication no
PasswordAuthentication no
PrintMotd no
PrintLastLog no
HostKey /etc/ssh/ssh_host_ed25519_key
END
    # of the key exchanges the quickest, and one that Vagrant's own client has
    [ "$flavour" != fast ] ||
        printf 'UsePAM no\nKexAlgorithms curve25519-sha256,ecdh-sha2-nistp256\n' >>"$root/etc/ssh/sshd_config.d/10-devbox.conf"
    # every machine makes its own on its first start
    rm -f "$root"/etc/ssh/ssh_host_*
}

configure_systemd() {
    install -m 644 "$here/devbox-host-key.service" "$root/etc/systemd/system/"
    printf '[Match]\nName=eth*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/80-dhcp.network"
    chroot "$root" systemctl enable -q systemd-networkd systemd-resolved devbox-host-key
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
    : >"$root/etc/machine-id"
}

configure_fast() {
    mkdir -p "$root/lite" "$root/etc/acpi/PWRF"
    ln -sf /bin/busybox "$root/lite/init"
    install -m 755 "$here/fast/rc" "$here/fast/acpid" "$here/fast/udhcpc" "$root/lite/"
    install -m 644 "$here/fast/inittab" "$root/etc/inittab"
    install -m 755 "$here/fast/shutdown" "$root/usr/local/sbin/shutdown"
    printf '#!/bin/sh\nexec /bin/busybox poweroff\n' >"$root/etc/acpi/PWRF/00000080"
    chmod 755 "$root/etc/acpi/PWRF/00000080"
    keep_modules
}

keep_modules() {
    local wanted=(
        ext4 virtio_pci virtio_blk virtio_net virtio_balloon virtio_rng virtiofs fuse 9p 9pnet_virtio overlay loop squashfs button evdev
        veth bridge tun br_netfilter macvlan dummy nf_nat nf_tables nf_conntrack nf_conntrack_netlink
        nft_chain_nat nft_compat nft_ct nft_fib nft_fib_inet nft_fib_ipv4 nft_hash nft_limit nft_log nft_masq nft_nat
        nft_numgen nft_objref nft_redir nft_reject nft_reject_inet nft_reject_ipv4 nf_reject_ipv4
    )
    local module
    for module in "${wanted[@]}"; do
        chroot "$root" modprobe -q -S "$kernel" --show-depends "$module" || true
    done 2>/dev/null | awk '$1 == "insmod" {print $2}' | sort -u >"$out/keep"
    (
        cd "$root"
        find "lib/modules/$kernel" -name '*.ko' | sed 's#^#/#' | sort | comm -23 - "$out/keep" | sed 's#^/##' | xargs rm -f
        find "lib/modules/$kernel" -type d -empty -delete
    )
    rm "$out/keep"
    chroot "$root" depmod "$kernel"
}

make_initrd() {
    local tree
    tree=$(mktemp -d)
    mkdir -p "$tree"/{bin,m,proc,dev,root}
    cp "$root/bin/busybox" "$tree/bin/"
    cp "$here/initrd-init" "$tree/init"
    chmod 755 "$tree/init"
    # virtio is built as modules; people's machines may have a SATA, SCSI or NVMe disk and no virtio at all
    local -a needed=(virtio_pci virtio_blk virtio_net ext4)
    [ "$flavour" = fast ] || needed+=(virtio_mmio virtio_scsi ahci sd_mod nvme)
    [ "$flavour" = fast ] || [ "$arch" != amd64 ] || needed+=(ata_piix mptspi vmw_pvscsi hv_storvsc)
    chroot "$root" modprobe -a -S "$kernel" --show-depends "${needed[@]}" |
        awk '$1 == "insmod" && !seen[$2]++ {print $2}' |
        while read -r module; do
            cp "$root$module" "$tree/m/"
            basename "$module" >>"$tree/m/order"
        done
    (cd "$tree" && find . | ./bin/busybox cpio -o -H newc 2>/dev/null) >"$out/initrd.img"
    rm -rf "$tree"
}

install_kernel
keep_kernel
make_user
configure_ssh
echo devbox >"$root/etc/hostname"
printf '127.0.0.1 localhost devbox\n' >"$root/etc/hosts"
case "$flavour" in
    fast) configure_fast ;;
    *) configure_systemd ;;
esac
make_initrd
rm -rf "${root:?}"/boot/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
