"""What the gateway does, one use case a module. The world is reached through the Protocols in ``ports``."""
