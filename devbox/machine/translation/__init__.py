"""A command's paths as a machine must see them: mapped, or carried there and back."""
