-- migrate:up
-- Who said that a problem is over, and when that came: what the same sender says later is later.
ALTER TABLE early_resolutions ADD COLUMN sender text, ADD COLUMN seen_at timestamptz;

-- migrate:down
ALTER TABLE early_resolutions DROP COLUMN seen_at, DROP COLUMN sender;
