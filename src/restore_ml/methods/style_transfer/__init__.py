"""Methods of style transfer."""
