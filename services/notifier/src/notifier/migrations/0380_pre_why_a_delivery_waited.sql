-- migrate:up
-- Why a delivery did not go at once: what its chat was waiting for, or how its last attempt ended. It stays when it is sent.
ALTER TABLE lanes ADD COLUMN held_until timestamptz NOT NULL DEFAULT '-infinity', ADD COLUMN held_by text;
ALTER TABLE deliveries ADD COLUMN held_by text;

-- migrate:down
ALTER TABLE deliveries DROP COLUMN held_by;
ALTER TABLE lanes DROP COLUMN held_by, DROP COLUMN held_until;
