"""Refunds service: moves money back through the payment system, at most once."""
