"""Tips: the switches of the service, and why an order has the tips that it has."""
