"""Where the world comes in: HTTP, RabbitMQ, and the clock."""
