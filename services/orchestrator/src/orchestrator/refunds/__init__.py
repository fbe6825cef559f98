"""Refunds that were asked for: each is followed by a workflow until its money went back."""
