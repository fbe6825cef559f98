"""Tips service: decides the tips of an order and whether they are to be held."""
