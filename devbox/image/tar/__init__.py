"""Tar streams: read without trust, written canonically."""
