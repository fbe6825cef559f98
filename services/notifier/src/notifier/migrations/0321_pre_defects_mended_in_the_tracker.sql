-- migrate:up
-- When the outside tracker was last asked whether the development ticket of a defect is closed.
ALTER TABLE known_defects ADD COLUMN looked_at timestamptz NOT NULL DEFAULT '-infinity';

-- migrate:down
ALTER TABLE known_defects DROP COLUMN looked_at;
