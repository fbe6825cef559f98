-- migrate:up
-- What people do in the outside tracker is done here. `outside_revision` counts what was seen of a ticket there and done to it, so that
-- an older answer never undoes a newer one.
ALTER TABLE tickets
    ADD COLUMN outside_assignee text,                               -- whose the tracker is known to have it: a login
    ADD COLUMN outside_revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN look_due         timestamptz NOT NULL DEFAULT now();
CREATE INDEX tickets_to_look ON tickets (look_due) WHERE outside = 'created';

-- migrate:down
DROP INDEX tickets_to_look;
ALTER TABLE tickets DROP COLUMN look_due, DROP COLUMN outside_revision, DROP COLUMN outside_assignee;
