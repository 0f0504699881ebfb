"""Take the uncompressed kernel out of a bzImage: vmlinux.py VMLINUZ VMLINUX. The guest need not unpack it."""

import lzma
import struct
import subprocess
import sys
import zlib

with open(sys.argv[1], "rb") as file:
    image = file.read()
start = ((image[0x1F1] or 4) + 1) * 512 + struct.unpack("<I", image[0x248:0x24C])[0]
payload = image[start : start + struct.unpack("<I", image[0x24C:0x250])[0]]
if payload.startswith(b"\xfd7zXZ\0"):
    kernel = lzma.LZMADecompressor().decompress(payload)
elif payload.startswith(b"\x02\x21\x4c\x18"):
    kernel = subprocess.run(["lz4", "-d", "-c"], input=payload[:-4], stdout=subprocess.PIPE, check=False).stdout
elif payload.startswith(b"\x1f\x8b"):
    kernel = zlib.decompressobj(31).decompress(payload)
else:
    kernel = subprocess.run(["zstd", "-d", "-c"], input=payload, stdout=subprocess.PIPE, check=False).stdout
if not kernel.startswith(b"\x7fELF"):
    sys.exit(f"{sys.argv[1]}: no kernel found in it")
with open(sys.argv[2], "wb") as file:
    file.write(kernel)
