-- migrate:up
-- Whose Watchdog comes: one row each, so that the silence of one is not hidden by another. `watchdogs` is what the release before this one
-- looks at.
CREATE TABLE alert_senders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    environment text,
    seen_at     timestamptz NOT NULL
);

-- migrate:down
DROP TABLE alert_senders;
