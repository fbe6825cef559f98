-- migrate:up
-- When the problem that is over had begun: what began later is another one. `again`: a report that came too soon after the end to be
-- believed at once, by whoever said that it is over; it counts when the doubt is past and no other end has come.
ALTER TABLE early_resolutions ADD COLUMN began_at timestamptz, ADD COLUMN again jsonb;
CREATE INDEX early_resolutions_again ON early_resolutions (at) WHERE again IS NOT NULL;

-- migrate:down
DROP INDEX early_resolutions_again;
ALTER TABLE early_resolutions DROP COLUMN again, DROP COLUMN began_at;
