"""Methods that enlarge pictures."""
