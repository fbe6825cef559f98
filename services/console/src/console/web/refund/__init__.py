"""Refunds: what of a payment went back, every attempt in the payment system's own words, and what differs."""
