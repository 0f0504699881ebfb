"""Images on their way to and from registries."""
