"""What an order is and how its events change it. Pure: no I/O, no clock, no framework."""
