"""Methods that find objects in pictures."""
