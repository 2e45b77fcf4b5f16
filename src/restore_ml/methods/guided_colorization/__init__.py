"""Methods that colour grey pictures by hints."""
