"""The world behind the ports: disk, RabbitMQ, PostgreSQL, files, metrics."""
