"""Options that several nouns have."""

from __future__ import annotations

from devbox.cli.grammar import flag, many, text

FILTER = many("-f --filter", "KEY=VALUE", "Show only what matches")
PRUNE_FILTER = many("--filter", "KEY=VALUE", "Remove only what matches (until=24h, label=KEY)")
FORMAT = text("--format", "FORMAT", "json, table, 'table TEMPLATE' or a Go template", complete="json|table")
FORMAT_INSPECT = text("-f --format", "FORMAT", "json or a Go template", complete="json")
FORCE = flag("-f --force", "Do not ask")
NO_TRUNC = flag("--no-trunc", "Do not shorten the output")
KEEP_VERSIONS = text("--keep-versions", "NUMBER", "Images of each name to keep for 'image rollback'", default="5")
INSECURE = flag("--insecure", "Take plain HTTP and certificates that nobody knows")
