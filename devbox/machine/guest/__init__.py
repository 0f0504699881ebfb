"""What runs in the machine: Linux and the standard library only."""
