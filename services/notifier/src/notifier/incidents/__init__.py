"""One incident a problem: reports open it, people act on it, its end is told wherever the problem was."""
