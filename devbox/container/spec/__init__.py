"""The OCI runtime spec's config.json: what goes into it, and what must hold before a runtime may see it."""
