"""Use cases of the orchestrator, and the ports through which they reach the world."""
