"""Backups of a running suite: a folder with everything that cannot be had again, and bringing it up elsewhere from that."""
