"""The use cases of tips, one a module."""
