"""Watches over the sources: one that falls silent against its own weeks, and one whose proof stopped being right."""
