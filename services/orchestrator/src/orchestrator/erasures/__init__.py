"""Customers' data leaves the orchestrator: when somebody asks for it, and when it has been kept for long enough."""
