"""What is shipped: the one file, its parts, and releases of it."""
