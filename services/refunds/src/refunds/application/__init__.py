"""The use cases of refunds, one a module."""
