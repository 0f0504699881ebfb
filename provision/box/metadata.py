"""Print Vagrant's metadata of all boxes in a directory: metadata.py DIRECTORY URL NAME."""

import hashlib
import json
import re
import sys
import time
from pathlib import Path

directory, url, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
providers = []
for path in sorted(directory.glob("devbox-*-*.box")):
    found = re.fullmatch(r"devbox-(\w+)-(amd64|arm64)\.box", path.name)
    if found is None:
        continue
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    providers.append(
        {
            "name": found[1],
            "architecture": found[2],
            "default_architecture": found[2] == "amd64",
            "url": f"{url}/{path.name}",
            "checksum_type": "sha256",
            "checksum": digest,
        }
    )
version = time.strftime("%Y%m%d.0.0", time.gmtime())
json.dump({"name": name, "versions": [{"version": version, "providers": providers}]}, sys.stdout, indent=2)
sys.stdout.write("\n")
