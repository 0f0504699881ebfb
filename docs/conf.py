"""Sphinx settings: `./test lint` builds the documentation with warnings as errors."""

import sys
from pathlib import Path

from devbox import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import grammar_reference  # noqa: E402

grammar_reference.write(HERE / "reference/commands.md")

project = "devbox"
release = __version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"devbox {__version__}"
exclude_patterns = ["_build"]
