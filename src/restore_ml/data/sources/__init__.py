"""What fills the embedded collections: files inside packages, and pictures that are drawn."""
