"""Who is notified of what: the table of routes, the file that holds it, and trials of other routes."""
