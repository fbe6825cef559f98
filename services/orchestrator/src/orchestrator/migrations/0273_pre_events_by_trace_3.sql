-- migrate:up transaction:false
-- An event by the trace that it came in. PostgreSQL builds no index of a partitioned table concurrently, so each partition's is built alone,
-- beside the traffic, and 0274 makes them one.
CREATE INDEX CONCURRENTLY workflow_event_3_trace ON workflow_event_3 (substr(traceparent, 4, 32));

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS workflow_event_3_trace;
