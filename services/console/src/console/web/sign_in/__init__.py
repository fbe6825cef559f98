"""Signing in with one's own token, and out."""
