"""Workflows: those that stand still by what they have in common, and one with its events."""
