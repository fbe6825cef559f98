"""A marketplace's hook: who sent it, what it says, what is answered."""
