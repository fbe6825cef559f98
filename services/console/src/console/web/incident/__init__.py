"""One incident with its runbook, its people and its timers."""
