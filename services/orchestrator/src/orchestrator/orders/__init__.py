"""Orders: each is computed from all its hooks, and carried through its life by a workflow of its own."""
