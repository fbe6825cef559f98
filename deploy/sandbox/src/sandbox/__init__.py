"""The outside world of the order suite, speaking the real protocols."""
