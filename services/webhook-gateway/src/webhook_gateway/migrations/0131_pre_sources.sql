-- migrate:up
-- When each replica last took a genuine request of a source. One row a replica, so that replicas do not wait for each other.
CREATE TABLE source_activity (
    source          text NOT NULL,
    replica         text NOT NULL,
    last_genuine_at timestamptz NOT NULL,
    PRIMARY KEY (source, replica)
);

-- How many requests of a source were taken in each hour: what a source is held against a week later.
CREATE TABLE source_hours (
    source text NOT NULL,
    hour   timestamptz NOT NULL,
    count  bigint NOT NULL,
    PRIMARY KEY (source, hour)
);
INSERT INTO source_hours (source, hour, count)
SELECT source, date_trunc('hour', received_at), count(*) FROM deliveries
WHERE received_at > now() - interval '29 days' AND outcome IN ('confirmed', 'spooled', 'quarantined') GROUP BY 1, 2;
INSERT INTO source_activity (source, replica, last_genuine_at)
SELECT source, replica, max(received_at) FROM deliveries
WHERE received_at > now() - interval '29 days' AND outcome IN ('confirmed', 'spooled', 'quarantined') GROUP BY 1, 2;

-- A source that was right before and is refused. `opened_at` is null when all is well again. Of the refused bodies only ids and digests.
CREATE TABLE source_refusals (
    source      text PRIMARY KEY,
    opened_at   timestamptz,
    last_at     timestamptz NOT NULL,
    count       bigint NOT NULL,
    status      integer NOT NULL,
    external_id text,
    digest      text
);

-- What is said only once of a source.
CREATE TABLE source_notices (
    source     text NOT NULL,
    kind       text NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, kind)
);

-- migrate:down
DROP TABLE source_notices, source_refusals, source_hours, source_activity;
