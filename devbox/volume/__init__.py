"""Volumes: named volumes, bind mounts and what goes into them on first use."""
