"""devbox beside docker and podman: run `python3 benchmarks/run.py`."""
