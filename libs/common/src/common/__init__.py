"""Plumbing and message contracts that the services share."""
