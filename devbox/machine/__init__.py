"""Where an engine lives when this host has none: virtual machines and other hosts."""
