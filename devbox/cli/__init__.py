"""The command line: parsing, dispatch, output and the error boundary."""
