"""One order with everything that happened to it."""
