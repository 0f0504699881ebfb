"""Carrying out single steps, each above the layers so far."""
