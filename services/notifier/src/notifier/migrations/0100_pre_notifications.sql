-- migrate:up
-- Incidents, the notification log (which is the outbox towards the chats), lanes and rate windows.

-- One row a problem. A problem that comes back after it was resolved is a new row.
CREATE TABLE incidents (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint   text NOT NULL,
    kind          text NOT NULL,
    severity      text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'resolved')),
    summary       text NOT NULL,
    details       jsonb NOT NULL,
    service       text NOT NULL,
    environment   text NOT NULL,
    order_number  text,
    source        text,
    store_id      text,
    zone          text,
    link          text,
    occurrences   bigint NOT NULL DEFAULT 1,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    opened_at     timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at   timestamptz,
    resolved_by   text,
    version       bigint NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX incidents_live ON incidents (fingerprint) WHERE state <> 'resolved';
CREATE INDEX incidents_fingerprint ON incidents (fingerprint, id);
CREATE INDEX incidents_order ON incidents (order_number, id) WHERE order_number IS NOT NULL;

-- What people and machines did to an incident, in order.
CREATE TABLE incident_history (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint NOT NULL REFERENCES incidents ON DELETE CASCADE,
    at          timestamptz NOT NULL DEFAULT now(),
    actor       text NOT NULL,
    act         text NOT NULL,
    text        text NOT NULL
);
CREATE INDEX incident_history_incident ON incident_history (incident_id, id);

-- What there was to tell: one row a (subject, transition). `document` is the render tree, null when nobody is told; then `reason` says why.
CREATE TABLE notices (
    id           uuid PRIMARY KEY,
    subject      text NOT NULL,                    -- order:<number>, incident:<id>, test:<id>
    transition   text NOT NULL,                    -- order.changed:3, opened, …
    sequence     bigint NOT NULL,                  -- order of the transitions of one subject
    kind         text NOT NULL,
    severity     text NOT NULL,
    order_number text,
    incident_id  bigint REFERENCES incidents,
    document     jsonb,
    reason       text,
    event_id     text NOT NULL,
    traceparent  text,
    occurred_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (subject, transition)
);
CREATE INDEX notices_order ON notices (order_number, created_at) WHERE order_number IS NOT NULL;
CREATE INDEX notices_incident ON notices (incident_id) WHERE incident_id IS NOT NULL;

-- The notification log: one row a (subject, destination, transition), by way of the notice.
CREATE TABLE deliveries (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notice_id         uuid NOT NULL REFERENCES notices ON DELETE CASCADE,
    subject           text NOT NULL,
    sequence          bigint NOT NULL,
    destination       text NOT NULL,
    channel           text NOT NULL,
    lane              text NOT NULL,
    topic             bigint,
    route             text NOT NULL,
    priority          smallint NOT NULL,           -- smaller goes first
    state             text NOT NULL DEFAULT 'pending'
                      CHECK (state IN ('pending', 'sending', 'sent', 'failed', 'unknown')),
    not_before        timestamptz NOT NULL DEFAULT now(),
    attempts          integer NOT NULL DEFAULT 0,
    pages_done        integer NOT NULL DEFAULT 0,
    message_ids       text[] NOT NULL DEFAULT '{}',
    alone             boolean NOT NULL DEFAULT false,
    possibly_repeated boolean NOT NULL DEFAULT false,
    claim             uuid,
    lease_until       timestamptz,
    reason            text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    sent_at           timestamptz,
    UNIQUE (notice_id, destination)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX deliveries_waiting ON deliveries (lane, priority, id) WHERE state IN ('pending', 'unknown');
CREATE INDEX deliveries_unfinished ON deliveries (lane, subject, sequence) WHERE state IN ('pending', 'unknown', 'sending');
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE state = 'sending';

-- One row a chat: one message at a time, whichever replica sends it. `key` is the address as routes name it, `address` the present one.
CREATE TABLE lanes (
    key          text PRIMARY KEY,
    channel      text NOT NULL,
    address      text NOT NULL,
    not_before   timestamptz NOT NULL DEFAULT '-infinity',
    claim        uuid,
    lease_until  timestamptz,
    last_sent_at timestamptz,
    moved_from   text[] NOT NULL DEFAULT '{}'
);

-- When messages were sent, for each of the providers' limits. A stamp in the future is a call under way (its deadline).
CREATE TABLE rate_windows (
    key    text PRIMARY KEY,
    stamps timestamptz[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- migrate:down
DROP TABLE rate_windows, lanes, deliveries, notices, incident_history, incidents;
