-- migrate:up
-- What each checker of the service found when it looked last: one row a checker.
CREATE TABLE check_verdicts (
    name    text PRIMARY KEY,
    at      timestamptz NOT NULL,
    found   bigint NOT NULL,
    looked  bigint NOT NULL,
    detail  text NOT NULL
);

-- migrate:down
DROP TABLE check_verdicts;
