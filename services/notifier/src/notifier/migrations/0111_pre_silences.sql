-- migrate:up
-- Silences and maintenance windows, what keeps a problem from being told, and what an event was to the routes.

CREATE TABLE silences (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    match      jsonb NOT NULL,                     -- trait → patterns, as in routes
    purpose    text NOT NULL CHECK (purpose IN ('silence', 'maintenance')),
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    reason     text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_by   text,                               -- who ended it before its time
    CHECK (ends_at >= starts_at)
);
CREATE INDEX silences_end ON silences (ends_at);

ALTER TABLE incidents
    ADD COLUMN muted       text,                   -- why nobody was told; it is told when that is over and the problem is not
    ADD COLUMN instruction text,
    ADD COLUMN responsible text[] NOT NULL DEFAULT '{}';
CREATE INDEX incidents_muted ON incidents (id) WHERE muted IS NOT NULL AND state = 'open';
CREATE INDEX incidents_live_kind ON incidents (kind, service) WHERE state <> 'resolved';

ALTER TABLE notices ADD COLUMN traits jsonb;       -- what the routes looked at: they can be asked again
CREATE INDEX notices_created ON notices (created_at) WHERE traits IS NOT NULL;

-- migrate:down
DROP INDEX notices_created, incidents_live_kind, incidents_muted;
ALTER TABLE notices DROP COLUMN traits;
ALTER TABLE incidents DROP COLUMN responsible, DROP COLUMN instruction, DROP COLUMN muted;
DROP TABLE silences;
