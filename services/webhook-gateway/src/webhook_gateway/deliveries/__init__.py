"""What came in and what became of it: recorded, searched, replayed, dismissed, kept for a time, added up."""
