"""Every change: filled in, rehearsed, applied, watched."""
