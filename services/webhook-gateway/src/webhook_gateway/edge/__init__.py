"""Requests that end before a handler: at addresses that take nothing, and at nginx."""
