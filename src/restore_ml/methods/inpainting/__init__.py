"""Methods that fill holes."""
