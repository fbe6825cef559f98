"""Who changed what, when and why, in all services: one list by time, and the whole of it as a file."""
