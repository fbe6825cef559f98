"""What keeps problems from being notified: silences, maintenance windows, inhibitions."""
