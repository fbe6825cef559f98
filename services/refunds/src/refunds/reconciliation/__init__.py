"""Comparison of our refunds with the providers' own records, both ways."""
