"""Endangered orders: a board of customers who wait, and one with what to do to get her back."""
