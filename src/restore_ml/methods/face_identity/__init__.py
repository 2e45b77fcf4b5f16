"""Networks that recognise persons."""
