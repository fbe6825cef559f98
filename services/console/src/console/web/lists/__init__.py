"""Lists and single things of every kind, made of the client's table."""
