"""Payments that refunds are taken from: what was captured, and what of it can still be refunded."""
