"""Put GRUB where a BIOS finds it, as grub-install does: bios.py BOOT_IMG CORE_IMG DISK SECTOR."""

import struct
import sys

boot_path, core_path, disk, sector = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
with open(boot_path, "rb") as file:
    boot = bytearray(file.read(512))
with open(core_path, "rb") as file:
    core = bytearray(file.read())
sectors = -(-len(core) // 512)
if sectors > 2048:
    sys.exit(f"{core_path} is larger than its partition")
struct.pack_into("<Q", boot, 0x5C, sector)  # where core.img begins
boot[0x66:0x68] = b"\x90\x90"  # do not distrust the BIOS about the drive's number
struct.pack_into("<QH", core, 0x1F4, sector + 1, sectors - 1)  # where its second sector is, and how many follow
with open(disk, "r+b") as file:
    file.write(boot[:440])
    file.seek(510)
    file.write(b"\x55\xaa")
    file.seek(sector * 512)
    file.write(core)
