"""What the flows do: steps one after the other, whoever starts them."""
