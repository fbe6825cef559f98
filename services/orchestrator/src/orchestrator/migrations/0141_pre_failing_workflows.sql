-- migrate:up transaction:false
-- Workflows with failed events are few, and people look for them. Beside the traffic, not in its way.
CREATE INDEX CONCURRENTLY workflow_failing ON workflow (id) WHERE failed_events > 0;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY workflow_failing;
