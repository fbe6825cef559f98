"""Messages: what was said to whom, and whom the routes of today would tell."""
