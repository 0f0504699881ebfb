"""Directories kept the same on the host and on a machine's own disk."""
