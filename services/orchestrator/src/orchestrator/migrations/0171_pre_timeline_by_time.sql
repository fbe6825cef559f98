-- migrate:up transaction:false
-- Old lines are deleted. Lines come in the order of their time: some pages of index do for all of them, and writing pays nothing.
CREATE INDEX CONCURRENTLY timeline_occurred ON timeline USING brin (occurred_at) WITH (autosummarize = on);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY timeline_occurred;
