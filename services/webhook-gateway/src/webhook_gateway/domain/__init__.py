"""What a hook is, whether it is genuine, what we read from it and what we answer. Pure: no I/O, no clock, no framework."""
