"""Refunds: asked for, sent to a payment provider, followed until they are over, and restarted by operators."""
