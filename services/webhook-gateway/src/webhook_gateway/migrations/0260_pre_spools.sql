-- migrate:up
-- What each replica's spool holds, as the replica itself said last. One that is away keeps its line: its volume still holds the events.
CREATE TABLE spools (
    replica   text PRIMARY KEY,
    records   bigint NOT NULL,
    oldest_at timestamptz,
    seen_at   timestamptz NOT NULL
);

-- migrate:down
DROP TABLE spools;
