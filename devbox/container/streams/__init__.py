"""Terminals, pipes and logs of a container."""
