"""Duty: the weeks ahead, who stands in, what is not covered."""
