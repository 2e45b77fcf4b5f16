"""Pure functions that compare a restored array with the truth, one family a file."""
