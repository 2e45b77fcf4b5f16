"""The gallery that a person looks at."""
