-- migrate:up
-- When the attempt ended that `held_by` tells of: what was late because a provider failed says when it was tried. The release before
-- leaves it empty.
ALTER TABLE deliveries ADD COLUMN failed_at timestamptz;

-- migrate:down
ALTER TABLE deliveries DROP COLUMN failed_at;
