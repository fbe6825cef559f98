-- migrate:up
-- What other systems sent and nobody could read: kept (without contacts) until somebody has looked at it. One row a notification.
CREATE TABLE unread_alerts (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender   text NOT NULL,
    digest   text NOT NULL,
    reason   text NOT NULL,
    parts    bigint NOT NULL,             -- how many were not taken
    text     text NOT NULL,
    seen     bigint NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    UNIQUE (sender, digest)
);
CREATE INDEX unread_alerts_last ON unread_alerts (last_at);

-- The service as the report itself names it; null where it is only guessed (an alert without that label). Inhibition compares this one.
ALTER TABLE incidents ADD COLUMN named_service text;
UPDATE incidents SET named_service = service WHERE kind <> 'problem.alert' AND state <> 'resolved';

-- migrate:down
ALTER TABLE incidents DROP COLUMN named_service;
DROP TABLE unread_alerts;
