-- migrate:up
-- What came in, by second, counted where a request comes in and apart from its outcome, so that the sum of outcomes can be wrong. `taken` is
-- how many of them were not refused. Counts are absolute within one run of one replica, so that a repeated flush changes nothing.
CREATE TABLE received_requests (
    bucket   timestamptz NOT NULL,
    replica  text NOT NULL,
    run      uuid NOT NULL,
    source   text NOT NULL,
    received bigint NOT NULL,
    taken    bigint NOT NULL,
    PRIMARY KEY (bucket, replica, run, source)
);

-- Each run of a replica, and until when everything that came in has been written. `ended`: it went in order, nothing is missing after that.
CREATE TABLE counting_runs (
    run           uuid PRIMARY KEY,
    replica       text NOT NULL,
    began_at      timestamptz NOT NULL,
    counted_until timestamptz NOT NULL,
    ended         boolean NOT NULL DEFAULT false
);
CREATE INDEX counting_runs_replica ON counting_runs (replica, began_at);

-- When a replica that counts did not: before its first run, and from the last flush of a run that died to the next run's beginning.
-- What is known to have come in then is taken as all that did.
CREATE VIEW uncounted_spans AS
SELECT replica, '-infinity'::timestamptz AS since, min(began_at) AS until FROM counting_runs GROUP BY replica
UNION ALL
SELECT replica, counted_until, next_began_at
FROM (
    SELECT replica, counted_until, ended, lead(began_at, 1, 'infinity') OVER (PARTITION BY replica ORDER BY began_at, run) AS next_began_at
    FROM counting_runs
) AS runs
WHERE NOT ended AND counted_until < next_began_at;

CREATE FUNCTION uncounted(of_replica text, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM counting_runs WHERE replica = of_replica)
        OR EXISTS (SELECT FROM uncounted_spans WHERE replica = of_replica AND at >= since AND at < until)
$$;

-- What was archived before anybody counted.
INSERT INTO ledger_archive (hour, replica, source, outcome, count)
SELECT hour, replica, source, 'received', sum(count) FROM ledger_archive GROUP BY 1, 2, 3;

-- migrate:down
DELETE FROM ledger_archive WHERE outcome = 'received';
DROP FUNCTION uncounted(text, timestamptz);
DROP VIEW uncounted_spans;
DROP TABLE counting_runs, received_requests;
