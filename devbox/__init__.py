"""devbox: the production environment on every engineer's computer."""

__version__ = "0.1.0"
