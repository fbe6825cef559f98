"""News of lists, pushed to who looks at them."""
