"""Intake: what came in and waits for a person, who sends, and one delivery with what could not be read."""
