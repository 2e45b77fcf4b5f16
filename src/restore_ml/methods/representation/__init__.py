"""Feature networks that other runs use."""
