"""Methods that draw frames between frames."""
