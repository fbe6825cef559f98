"""Orders: each is the fold of its hooks, carried through its life by a workflow of its own."""
