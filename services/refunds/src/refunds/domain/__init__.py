"""Refunds as a pure matter: states and transitions, sums, keys, waiting times."""
