"""What several tests share: processes, checkers, invented worlds, crash points."""
