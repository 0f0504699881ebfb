"""The build cache: kept, shared, carried elsewhere and pruned."""
