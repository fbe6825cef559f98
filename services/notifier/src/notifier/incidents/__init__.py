"""One incident per problem: reports open it, people act on it, its end is notified wherever the problem was."""
