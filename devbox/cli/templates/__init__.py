"""Go templates, as --format has them."""
