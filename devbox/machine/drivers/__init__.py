"""The ways of having a machine."""
