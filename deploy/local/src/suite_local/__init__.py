"""Starts the infrastructure and the whole suite on one machine."""
