-- migrate:up
-- What operators do: versions to compare, events to carry out again, events that may go. Constant defaults: no table is rewritten.

-- Grows with what people and failures do to a workflow. last_seq + done_seq + revision is the version that an operator names.
ALTER TABLE workflow ADD COLUMN revision integer NOT NULL DEFAULT 0;
-- Events up to here have been deleted by retention; only a finished workflow's are.
ALTER TABLE workflow ADD COLUMN pruned_seq integer NOT NULL DEFAULT 0;

CREATE INDEX order_aggregate_change_order ON order_aggregate_change (order_number);

-- workflow_open (0110) holds all that this one held.
DROP INDEX workflow_troubled;

-- Sizes of tables, one row a table and day, kept for as long as it takes to tell a week's growth.
CREATE TABLE table_size (
    day   date NOT NULL,
    name  text NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (day, name)
);

-- migrate:down
DROP TABLE table_size;
CREATE INDEX workflow_troubled ON workflow (state, id) WHERE state IN (2, 4);
DROP INDEX order_aggregate_change_order;
ALTER TABLE workflow DROP COLUMN pruned_seq, DROP COLUMN revision;
