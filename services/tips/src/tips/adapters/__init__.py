"""How tips reaches the orders database, the feedback service and Prometheus."""
