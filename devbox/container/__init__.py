"""Containers: their specification, life, streams and logs."""
