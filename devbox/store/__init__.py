"""Where devbox keeps what it knows: the root's layout and the state database."""
