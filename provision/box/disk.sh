#!/usr/bin/env bash
# Makes a disk that boots by itself, by BIOS (amd64) or EFI: disk.sh ARCH ROOT_IMAGE OUT DISK COMMAND_LINE GIGABYTES
# OUT has vmlinuz, initrd.img and, for another architecture than this machine's, grub/ with GRUB's modules.
# Nothing is mounted and no loop device is used: files are put where they belong.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
arch=$1 root=$2 out=$3 disk=$4 append=$5 gigabytes=$6
modules=(part_gpt fat normal configfile linux search search_label)
esp_start=4096 esp_size=131072 root_start=$((4096 + 131072)) # in sectors of 512 bytes

work=$(mktemp -d "$disk.XXXXXX")
trap 'rm -rf "$work"' EXIT
cat >"$work/early.cfg" <<'END'
search --no-floppy --label DEVBOXBOOT --set root
configfile ($root)/grub.cfg
END
cat >"$work/grub.cfg" <<END
set timeout=0
linux /vmlinuz $append
initrd /initrd.img
boot
END

efi() { # FORMAT NAME MODULES_DIRECTORY
    grub-mkimage -O "$1" -d "$3" -c "$work/early.cfg" -p / -o "$work/$2" "${modules[@]}"
    mcopy -i "$work/esp" "$work/$2" "::EFI/BOOT/$2"
}

truncate -s $((esp_size * 512)) "$work/esp"
mformat -i "$work/esp" -F -v DEVBOXBOOT -T "$esp_size" -h 255 -s 63 ::
mmd -i "$work/esp" ::EFI ::EFI/BOOT
mcopy -i "$work/esp" "$out/vmlinuz" "$out/initrd.img" "$work/grub.cfg" ::
case "$arch" in
    amd64) efi x86_64-efi BOOTX64.EFI "$(dirname "$(find /usr/lib/grub -path "*x86_64-efi/linux.mod" -print -quit)")" ;;
    arm64) efi arm64-efi BOOTAA64.EFI "$(dirname "$(find "$out/grub" -path "*arm64-efi/linux.mod" -print -quit)")" ;;
esac

truncate -s "${gigabytes}G" "$disk"
sfdisk -q "$disk" <<END
label: gpt
start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios
start=$esp_start, size=$esp_size, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=boot
start=$root_start, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=devbox
END
dd if="$work/esp" of="$disk" bs=1M seek=$((esp_start / 2048)) conv=notrunc,sparse status=none
dd if="$root" of="$disk" bs=1M seek=$((root_start / 2048)) conv=notrunc,sparse status=none
if [ "$arch" = amd64 ]; then
    grub=/usr/lib/grub/i386-pc
    grub-mkimage -O i386-pc -c "$work/early.cfg" -p / -o "$work/core.img" biosdisk "${modules[@]}"
    python3 "$here/bios.py" "$grub/boot.img" "$work/core.img" "$disk" 2048
fi
