"""What happened to an order, told in order: by this service, by the others, by people."""
