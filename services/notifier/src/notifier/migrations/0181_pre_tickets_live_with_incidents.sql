-- migrate:up
-- A ticket is opened again with its problem: it then belongs to a later incident, and keeps the name by which it was created outside.
ALTER TABLE tickets ADD COLUMN first_incident bigint;
-- What the outside tracker is known to have; null: not kept there, or from before this release.
ALTER TABLE tickets ADD COLUMN outside_state text CHECK (outside_state IN ('open', 'closed'));
ALTER TABLE tickets ADD COLUMN outside_due timestamptz NOT NULL DEFAULT now();
UPDATE tickets SET outside_state = state WHERE outside = 'created';
CREATE INDEX tickets_to_move ON tickets (outside_due) WHERE outside = 'created' AND outside_state IS DISTINCT FROM state;
-- Instructions come with the program now; those that people wrote stay.
DELETE FROM instructions WHERE updated_by = 'release';

-- migrate:down
DROP INDEX tickets_to_move;
ALTER TABLE tickets DROP COLUMN outside_due, DROP COLUMN outside_state, DROP COLUMN first_incident;
