-- migrate:up
-- The workflow engine (docs/architecture.md). Workflows are claimed, not events: success moves a cursor and never
-- updates event rows.

-- state: 1 running, 2 stopped, 3 finished, 4 crashed.
-- Events up to done_seq are carried out; those up to last_seq exist.
CREATE TABLE workflow (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_number text NOT NULL,
    kind         text NOT NULL,
    key          text NOT NULL DEFAULT '',  -- tells workflows of one kind and order apart
    state        smallint NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 4),
    last_seq     integer NOT NULL,
    done_seq     integer NOT NULL DEFAULT 0,
    error        text,                      -- of the latest failure: type and place, never a payload
    error_stack  text,
    failed_at    timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (order_number, kind, key),
    CHECK (done_seq <= last_seq)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- What operators look for is rare; running and finished workflows are not in it, so the hot path does not touch it.
CREATE INDEX workflow_troubled ON workflow (state, id) WHERE state IN (2, 4);

-- What happened to a workflow, append-only. Partitioned by hash: a partition by time would break the primary key.
-- `payload` is what came in, byte for byte; `attributes` is what its bearer said about it.
CREATE TABLE workflow_event (
    workflow_id bigint NOT NULL,
    seq         integer NOT NULL,
    type        text NOT NULL,
    event_id    text NOT NULL,
    attributes  jsonb NOT NULL,
    payload     bytea NOT NULL,
    traceparent text,
    received_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow_id, seq)
) PARTITION BY HASH (workflow_id);
CREATE TABLE workflow_event_0 PARTITION OF workflow_event FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE workflow_event_1 PARTITION OF workflow_event FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE workflow_event_2 PARTITION OF workflow_event FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE workflow_event_3 PARTITION OF workflow_event FOR VALUES WITH (MODULUS 4, REMAINDER 3);

-- One row a runnable workflow. A fence is drawn from a sequence, so that a token names one claim for ever, also after the row was
-- deleted and made again. `attempts` counts the failures since the last success.
CREATE SEQUENCE workflow_fence;
CREATE TABLE workflow_ready (
    workflow_id bigint PRIMARY KEY,
    ready_at    timestamptz NOT NULL DEFAULT now(),
    owner       text,
    lease_until timestamptz,
    fence       bigint NOT NULL DEFAULT 0,
    attempts    smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX workflow_ready_free ON workflow_ready (ready_at, workflow_id) WHERE owner IS NULL;
CREATE INDEX workflow_ready_leased ON workflow_ready (lease_until) WHERE owner IS NOT NULL;

-- Claim up to p_limit workflows for p_owner and return them with their next events, at most p_events each.
-- Two statements: the second has a fresh READ COMMITTED snapshot. One statement that joined the workflow's cursor to the
-- claim returned a stale cursor in a reproduced race, which runs a finished event again.
CREATE FUNCTION workflow_claim(p_owner text, p_limit integer, p_lease interval, p_events integer)
RETURNS TABLE (workflow_id bigint, order_number text, kind text, key text, done_seq integer, fence bigint, attempts smallint,
               seq integer, type text, event_id text, attributes jsonb, payload bytea, traceparent text,
               received_at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    claimed bigint[];
BEGIN
    WITH picked AS (
        SELECT r.workflow_id FROM workflow_ready AS r
        WHERE r.owner IS NULL AND r.ready_at <= clock_timestamp()
        ORDER BY r.ready_at, r.workflow_id
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE workflow_ready AS r
           SET owner = p_owner, lease_until = clock_timestamp() + p_lease, fence = nextval('workflow_fence')
          FROM picked AS p WHERE r.workflow_id = p.workflow_id
        RETURNING r.workflow_id
    )
    SELECT array_agg(t.workflow_id) INTO claimed FROM taken AS t;
    IF claimed IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT w.id, w.order_number, w.kind, w.key, w.done_seq, r.fence, r.attempts,
               e.seq, e.type, e.event_id, e.attributes, e.payload, e.traceparent, e.received_at
        FROM unnest(claimed) AS c (id)
        JOIN workflow AS w ON w.id = c.id
        JOIN workflow_ready AS r ON r.workflow_id = w.id AND r.owner = p_owner
        LEFT JOIN LATERAL (
            SELECT v.* FROM workflow_event AS v
            WHERE v.workflow_id = w.id AND v.seq > w.done_seq
            ORDER BY v.seq
            LIMIT p_events
        ) AS e ON true
        ORDER BY w.id, e.seq;
END
$$;

-- Orders whose first known event is not `created`: they wait for it, until it is an incident.
CREATE TABLE parked_order (
    workflow_id  bigint PRIMARY KEY,
    order_number text NOT NULL,
    source       text NOT NULL,
    hook         text NOT NULL,
    since        timestamptz NOT NULL DEFAULT now(),
    alerted_at   timestamptz
);
CREATE INDEX parked_order_waiting ON parked_order (since) WHERE alerted_at IS NULL;

-- An order's aggregate state is derived from its status and its workflows; a row here asks to derive it again.
CREATE TABLE order_aggregate_change (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_number text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION order_aggregate_state(p_number text, p_status text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN bool_or(w.state = 4) THEN 'crashed'
        WHEN bool_or(w.state = 2) THEN 'stopped'
        WHEN p_status = 'cancelled' THEN 'cancelled'
        WHEN p_status = 'delivered' THEN 'finished'
        ELSE 'in_progress'
    END
    FROM workflow AS w WHERE w.order_number = p_number
$$;

-- migrate:down
DROP FUNCTION order_aggregate_state(text, text);
DROP TABLE order_aggregate_change, parked_order;
DROP FUNCTION workflow_claim(text, integer, interval, integer);
DROP TABLE workflow_ready, workflow_event, workflow;
DROP SEQUENCE workflow_fence;
