-- migrate:up
-- When the alert that always fires came last, by who sends it.
CREATE TABLE watchdogs (
    sender  text PRIMARY KEY,
    seen_at timestamptz NOT NULL
);

-- migrate:down
DROP TABLE watchdogs;
