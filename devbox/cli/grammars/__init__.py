"""The command lines of devbox as data, a file for each noun."""
