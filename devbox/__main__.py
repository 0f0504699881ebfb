"""`python -m devbox`."""

from devbox.cli.main import main

main()
