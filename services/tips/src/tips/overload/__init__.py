"""Refusing at once what could only wait: a bounded door for requests, and a bulkhead around each dependency."""
