"""The outside systems, one module or package each."""
