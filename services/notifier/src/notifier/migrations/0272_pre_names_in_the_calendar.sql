-- migrate:up
-- A digest of the names that the calendar last showed: when they change, its revision grows.
ALTER TABLE roster_revision ADD COLUMN names text;

-- migrate:down
ALTER TABLE roster_revision DROP COLUMN names;
