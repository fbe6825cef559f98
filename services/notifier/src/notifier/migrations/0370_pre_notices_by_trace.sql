-- migrate:up
-- A notice by the trace of what it tells. Not concurrently: replicas that migrate at once wait for each other's lock, and PostgreSQL would wait
-- for them. While it is built notices wait in RabbitMQ and in the outbox.
CREATE INDEX notices_trace ON notices (substr(traceparent, 4, 32), id);

-- migrate:down
DROP INDEX notices_trace;
