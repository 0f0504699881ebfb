"""What options ask for, read into the values that the engine works with."""
