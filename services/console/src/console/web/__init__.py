"""The console: the suite in a browser."""
