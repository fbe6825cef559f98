"""Webhook gateway: answers a marketplace hook only when the event is durable."""
