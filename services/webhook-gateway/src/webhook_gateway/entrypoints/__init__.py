"""Where requests, messages and the clock come in."""
