"""Methods that enlarge clips."""
