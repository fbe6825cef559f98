-- migrate:up
-- Everything that came in. Partitioned by day, so that retention drops tables instead of deleting rows; the default partition takes what no
-- partition was made for in time, so that nothing is ever refused for want of one.
CREATE TABLE deliveries (
    delivery_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    type        text NOT NULL,
    event_id    text NOT NULL,
    source      text NOT NULL,
    event       text NOT NULL,
    number      text,
    external_id text,
    sent_at     text,
    digest      text,
    currency    text,
    outcome     text NOT NULL CHECK (outcome IN ('confirmed', 'spooled', 'quarantined', 'refused', 'replayed')),
    lane        text NOT NULL CHECK (lane IN ('broker', 'spool')),
    reason      text,
    status      integer,
    replica     text NOT NULL,
    replay_of   uuid,
    body_form   text NOT NULL CHECK (body_form IN ('envelope', 'payload')),
    body        bytea NOT NULL,
    headers     jsonb NOT NULL,
    traceparent text,
    PRIMARY KEY (received_at, delivery_id)
) PARTITION BY RANGE (received_at);
CREATE INDEX deliveries_delivery_id ON deliveries (delivery_id);
CREATE INDEX deliveries_number ON deliveries (number, received_at) WHERE number IS NOT NULL;
CREATE INDEX deliveries_external_id ON deliveries (external_id, received_at) WHERE external_id IS NOT NULL;
CREATE INDEX deliveries_outcome ON deliveries (outcome, received_at) WHERE outcome <> 'confirmed';
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;

-- Makes the partitions of the coming days. Safe to call by every replica at once. A day whose rows already lie in the default
-- partition stays there.
CREATE FUNCTION ensure_delivery_partitions(days integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz;
    made integer := 0;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('deliveries_partitions'));
    FOR day IN 0..days LOOP
        first := date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + make_interval(days => day);
        name := 'deliveries_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        CONTINUE WHEN EXISTS (
            SELECT FROM deliveries_default WHERE received_at >= first AND received_at < first + interval '24 hours'
        );
        BEGIN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF deliveries FOR VALUES FROM (%L) TO (%L)', name, first, first + interval '24 hours'
            );
            made := made + 1;
        EXCEPTION WHEN check_violation THEN
            NULL; -- a delivery of that day came between the look and the lock: the day stays in the default partition
        END;
    END LOOP;
    RETURN made;
END
$$;

-- Website orders that were not answered 201. One row is one customer to get back.
CREATE TABLE endangered_orders (
    id             uuid PRIMARY KEY,
    received_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    status         integer NOT NULL,
    category       text NOT NULL,
    answer         jsonb,
    customer       jsonb NOT NULL,
    address        text,
    basket         jsonb NOT NULL,
    body           bytea NOT NULL,
    external_id    text,
    replica        text NOT NULL,
    state          text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'resubmitted')),
    number         text,
    resubmitted_at timestamptz
);
CREATE INDEX endangered_orders_received_at ON endangered_orders (received_at, id);
CREATE INDEX endangered_orders_open ON endangered_orders (received_at, id) WHERE state = 'open';

-- What was refused, by second; counts are absolute within one run of one replica, so that a repeated flush changes nothing.
CREATE TABLE refusals (
    bucket  timestamptz NOT NULL,
    replica text NOT NULL,
    run     uuid NOT NULL,
    source  text NOT NULL,
    reason  text NOT NULL,
    count   bigint NOT NULL,
    PRIMARY KEY (bucket, replica, run, source, reason)
);

-- migrate:down
DROP TABLE refusals, endangered_orders, deliveries;
DROP FUNCTION ensure_delivery_partitions(integer);
