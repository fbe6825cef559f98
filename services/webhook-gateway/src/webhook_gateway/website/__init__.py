"""Orders of websites: read, limited by caller, accepted or refused."""
