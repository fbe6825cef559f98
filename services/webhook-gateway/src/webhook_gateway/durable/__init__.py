"""Where an accepted event is stored: the broker, or this replica's spool until the broker has it."""
