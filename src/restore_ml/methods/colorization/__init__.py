"""Methods that give grey pictures colour."""
