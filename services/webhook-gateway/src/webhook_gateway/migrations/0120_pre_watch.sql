-- migrate:up
-- What is known after the answer: the marketplace's countdown, orders on their way to the orchestrator, the ledger of days whose
-- deliveries were dropped, and what of the deliveries is decided.

-- One row for each order whose `order.created` we did not answer 2xx in time. `missed_at` and `answered_at` are the moments at which the
-- newest missed and the newest well answered request came in: whichever is later decides, in whatever order they are learned.
CREATE TABLE countdowns (
    source      text NOT NULL,
    external_id text NOT NULL,
    number      text NOT NULL,
    started_at  timestamptz NOT NULL,
    cancels_at  timestamptz NOT NULL,
    missed_at   timestamptz NOT NULL,
    status      integer NOT NULL,
    reason      text NOT NULL,
    replica     text NOT NULL,
    answered_at timestamptz,
    PRIMARY KEY (source, external_id)
);
CREATE INDEX countdowns_running ON countdowns (cancels_at) WHERE answered_at IS NULL OR answered_at <= missed_at;
CREATE INDEX countdowns_started ON countdowns (started_at, number);

-- Orders that were acknowledged, and orders that the orchestrator has announced. Each side writes its own column, whoever comes first.
-- `released_at`: a person has decided that this order is not to reach the orchestrator.
CREATE TABLE created_orders (
    number          text PRIMARY KEY,
    source          text,
    external_id     text,
    acknowledged_at timestamptz,
    arrived_at      timestamptz,
    released_at     timestamptz
);
CREATE INDEX created_orders_awaited ON created_orders (acknowledged_at, number)
    WHERE acknowledged_at IS NOT NULL AND arrived_at IS NULL AND released_at IS NULL;
CREATE INDEX created_orders_age ON created_orders USING brin (acknowledged_at);
-- What came before this release is not waited for.
INSERT INTO created_orders (number, source, external_id, acknowledged_at, arrived_at)
SELECT number, min(source), min(external_id), min(received_at), now()
FROM deliveries WHERE event = 'order.created' AND number IS NOT NULL AND outcome <> 'refused' GROUP BY number;

-- The ledger of dropped days, by the hour.
CREATE TABLE ledger_archive (
    hour    timestamptz NOT NULL,
    replica text NOT NULL,
    source  text NOT NULL,
    outcome text NOT NULL,
    count   bigint NOT NULL,
    PRIMARY KEY (hour, replica, source, outcome)
);

-- Deliveries that were answered 503 because no storage path confirmed them, though one may have taken them: their outcome is "refused".
CREATE TABLE disowned_deliveries (
    delivery_id uuid PRIMARY KEY,
    received_at timestamptz NOT NULL
);
CREATE INDEX disowned_deliveries_age ON disowned_deliveries (received_at);

-- Quarantined deliveries that a person has looked at and that need nothing more. (One that was replayed is decided by its replay.)
CREATE TABLE delivery_dismissals (
    delivery_id  uuid PRIMARY KEY,
    dismissed_at timestamptz NOT NULL DEFAULT now(),
    actor        text NOT NULL
);
CREATE INDEX deliveries_replay_of ON deliveries (replay_of) WHERE replay_of IS NOT NULL;

-- What retention must leave: what was recorded late, what is quarantined and undecided, what an open endangered order came from, and the
-- acknowledged `created` of an order that the orchestrator has not announced.
CREATE FUNCTION delivery_undecided(d deliveries, cutoff timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT d.recorded_at >= cutoff
        OR (d.outcome = 'quarantined'
            AND NOT EXISTS (SELECT FROM delivery_dismissals AS k WHERE k.delivery_id = d.delivery_id)
            AND NOT EXISTS (SELECT FROM deliveries AS r WHERE r.replay_of = d.delivery_id))
        OR (d.outcome = 'refused'
            AND EXISTS (SELECT FROM endangered_orders AS e WHERE e.id = d.delivery_id AND e.state NOT IN ('resubmitted', 'reported', 'closed')))
        OR (d.event = 'order.created'
            AND EXISTS (SELECT FROM created_orders AS c WHERE c.number = d.number AND c.acknowledged_at IS NOT NULL
                        AND c.arrived_at IS NULL AND c.released_at IS NULL))
$$;

-- migrate:down
DROP FUNCTION delivery_undecided(deliveries, timestamptz);
DROP INDEX deliveries_replay_of;
DROP TABLE delivery_dismissals, disowned_deliveries, ledger_archive, created_orders, countdowns;
