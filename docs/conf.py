"""Sphinx settings: `./test lint` builds the documentation with warnings as errors."""

from devbox import __version__

project = "devbox"
release = __version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"devbox {__version__}"
exclude_patterns = ["_build"]
