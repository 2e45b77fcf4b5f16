"""Methods that find the nuclei in a field of view."""
