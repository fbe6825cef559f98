"""The marketplace: makes orders, sends their hooks, repeats, cancels, and reports every answer."""
