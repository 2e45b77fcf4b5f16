"""The methods, one file each, by task."""
