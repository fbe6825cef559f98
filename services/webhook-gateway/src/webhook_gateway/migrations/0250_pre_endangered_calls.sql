-- migrate:up
-- The last call to the customer of an endangered order: when, by whom, and whether she answered.
ALTER TABLE endangered_orders ADD COLUMN called_at timestamptz, ADD COLUMN called_by text, ADD COLUMN reached boolean;

-- migrate:down
ALTER TABLE endangered_orders DROP COLUMN called_at, DROP COLUMN called_by, DROP COLUMN reached;
