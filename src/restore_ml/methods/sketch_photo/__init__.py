"""Methods that draw a photo's sketch and paint a sketch's photo."""
