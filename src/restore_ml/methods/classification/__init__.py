"""Methods that say what a picture shows."""
