"""Orchestrator: owns order state and the workflows that carry each order through its life."""
