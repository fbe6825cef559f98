"""What happened to an order, in the order of time: in this service, in the others, by people."""
