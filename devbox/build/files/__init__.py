"""Where the files of a build come from, what a COPY means of them, and how they are written."""
