"""Tips and the sum to pay of finished orders, decided by the tips service or by this service's own rules."""
