"""What `devbox build` shows, checks and leaves behind."""
