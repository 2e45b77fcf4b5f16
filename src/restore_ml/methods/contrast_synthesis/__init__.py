"""Methods that make a contrast of a brain from others."""
