-- migrate:up transaction:false
-- A notice by the trace of what it tells. Beside the traffic, not in its way.
CREATE INDEX CONCURRENTLY notices_trace ON notices (substr(traceparent, 4, 32), id);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY notices_trace;
