"""The files of a container: put together, copied in and out, compared, kept as an image."""
