"""Methods that find clouds and their shadows in a scene of one date."""
