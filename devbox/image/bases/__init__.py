"""Base images, made of the distribution's own packages."""
