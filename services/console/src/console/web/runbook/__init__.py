"""The runbooks of this release, as pages."""
