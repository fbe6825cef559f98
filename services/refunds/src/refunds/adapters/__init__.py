"""How refunds reaches its database, the payment systems and Prometheus."""
