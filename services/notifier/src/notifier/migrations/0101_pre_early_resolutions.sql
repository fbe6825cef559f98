-- migrate:up
-- Problems that were reported as over before anybody reported them as begun: replicas take events in side by side.
CREATE TABLE early_resolutions (
    fingerprint text PRIMARY KEY,
    at          timestamptz NOT NULL
);

-- migrate:down
DROP TABLE early_resolutions;
