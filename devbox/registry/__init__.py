"""Registries: where they are, who we are to them, and what they are asked; knows nothing of the store."""
