"""Nothing lost: what came in and what became of it, day by day, and what is not settled."""
