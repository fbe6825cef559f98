"""Tips as a pure matter: what an order and its feedback are, what the tips should be, and whether to hold them."""
