"""Servers that the suite needs: found in the environment, started locally, or run as containers, in that order."""
