"""PostgreSQL and Prometheus, behind the ports of the application."""
