-- migrate:up transaction:false
-- Operators look for workflows that are not finished; finished ones, which are nearly all, are not in it. Beside the traffic, not in
-- its way: a plain CREATE INDEX would hold up every hook while it reads the table.
CREATE INDEX CONCURRENTLY workflow_open ON workflow (state, id) WHERE state <> 3;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY workflow_open;
