-- migrate:up
-- Buttons that people pressed, kept before anything is done about them, and recipes that were asked back.

CREATE TABLE presses (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel     text NOT NULL CHECK (channel IN ('telegram', 'slack')),
    outside_id  text NOT NULL,              -- Telegram's callback query, Slack's trigger: the same press has the same
    who         text NOT NULL,              -- the channel's own id of the person
    data        text NOT NULL,
    reply_to    text,                       -- Slack's response_url
    address     text NOT NULL,
    traceparent text,
    received_at timestamptz NOT NULL DEFAULT now(),
    done_at     timestamptz,
    outcome     text,
    answer      text,
    lease_until timestamptz,
    answered    boolean NOT NULL DEFAULT false,
    UNIQUE (channel, outside_id)
);
CREATE INDEX presses_open ON presses (id) WHERE NOT answered;

-- A recipe that somebody wants carried out: asked → confirmed → running → done | failed, or declined | expired.
CREATE TABLE recipe_requests (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint NOT NULL REFERENCES incidents ON DELETE CASCADE,
    recipe      text NOT NULL,
    target      text NOT NULL,
    version     bigint,
    person      text NOT NULL,
    channel     text NOT NULL,
    state       text NOT NULL DEFAULT 'asked'
                CHECK (state IN ('asked', 'confirmed', 'running', 'done', 'failed', 'declined', 'expired')),
    asked_at    timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    not_before  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    began_at    timestamptz,
    ended_at    timestamptz,
    result      text,
    traceparent text
);
CREATE UNIQUE INDEX recipe_requests_open ON recipe_requests (incident_id, recipe) WHERE state IN ('asked', 'confirmed', 'running');
CREATE INDEX recipe_requests_due ON recipe_requests (not_before) WHERE state IN ('confirmed', 'running');

-- migrate:down
DROP TABLE recipe_requests, presses;
