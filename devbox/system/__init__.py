"""The kernel and process boundary: the only room that starts processes or calls into libc."""
