"""Training objectives that several methods share."""
