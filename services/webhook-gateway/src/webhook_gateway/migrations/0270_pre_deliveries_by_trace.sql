-- migrate:up
-- A delivery by the trace that it came in: logs, reports and answers name that and nothing else.
-- PostgreSQL builds no index of a partitioned table concurrently. While this one is built the recorder waits; hooks and orders are
-- answered meanwhile as always, from RabbitMQ.
CREATE INDEX deliveries_trace ON deliveries (substr(traceparent, 4, 32), received_at);

-- migrate:down
DROP INDEX deliveries_trace;
