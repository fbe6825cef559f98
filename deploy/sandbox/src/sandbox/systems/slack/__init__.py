"""Slack's Web API with its limits and errors, and signed interactions."""
