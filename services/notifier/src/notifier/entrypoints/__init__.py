"""Where work comes in: queues, HTTP, and the jobs that send."""
