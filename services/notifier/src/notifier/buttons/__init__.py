"""Buttons under messages: what was pressed, what it does, what the person is answered."""
