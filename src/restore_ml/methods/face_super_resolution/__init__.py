"""Methods that enlarge faces."""
