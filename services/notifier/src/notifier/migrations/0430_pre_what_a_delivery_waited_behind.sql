-- migrate:up
-- The notice whose failed attempt kept this one waiting, where `held_by` says so: one subject's notices go into a chat in their order. The
-- release before leaves it empty.
ALTER TABLE deliveries ADD COLUMN held_behind uuid;

-- migrate:down
ALTER TABLE deliveries DROP COLUMN held_behind;
