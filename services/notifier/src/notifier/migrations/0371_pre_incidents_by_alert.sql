-- migrate:up
-- An incident by the name of its alert, as people type it. Not concurrently: see 0370.
CREATE INDEX incidents_alert ON incidents (lower(details ->> 'alert'), id) WHERE details ? 'alert';

-- migrate:down
DROP INDEX incidents_alert;
