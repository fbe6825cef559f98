"""The shapes of the services' answers, one module a service; made, not written."""
