"""A real OpenID provider on loopback: django-oauth-toolkit in a process of its own, with people, groups and two clients."""
