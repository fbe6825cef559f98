-- migrate:up
-- Two lanes of workflows, and workflows that sleep until a moment.

-- A workflow that sleeps keeps its ready row with `ready_at` in the future; a new event wakes it (the intake moves `ready_at`).
-- Workflows that call other services have a lane of their own, and workers of their own: slow calls hold up no order's life.
ALTER TABLE workflow_ready ADD COLUMN lane smallint NOT NULL DEFAULT 0;

CREATE FUNCTION workflow_lane(p_kind text) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (CASE WHEN p_kind = 'order_life' THEN 0 ELSE 1 END)::smallint
$$;

DROP INDEX workflow_ready_free;
CREATE INDEX workflow_ready_free ON workflow_ready (lane, ready_at, workflow_id) WHERE owner IS NULL;

-- As before (0101), of one lane.
CREATE FUNCTION workflow_claim(p_owner text, p_limit integer, p_lease interval, p_events integer, p_lane smallint)
RETURNS TABLE (workflow_id bigint, order_number text, kind text, key text, done_seq integer, fence bigint, attempts smallint,
               seq integer, type text, event_id text, attributes jsonb, payload bytea, traceparent text,
               received_at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    claimed bigint[];
BEGIN
    WITH picked AS (
        SELECT r.workflow_id FROM workflow_ready AS r
        WHERE r.owner IS NULL AND r.lane = p_lane AND r.ready_at <= clock_timestamp()
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

-- The previous release knows one kind of workflow, and must not be given others.
CREATE OR REPLACE FUNCTION workflow_claim(p_owner text, p_limit integer, p_lease interval, p_events integer)
RETURNS TABLE (workflow_id bigint, order_number text, kind text, key text, done_seq integer, fence bigint, attempts smallint,
               seq integer, type text, event_id text, attributes jsonb, payload bytea, traceparent text,
               received_at timestamptz)
LANGUAGE sql VOLATILE AS $$
    SELECT * FROM workflow_claim(p_owner, p_limit, p_lease, p_events, 0::smallint)
$$;

-- migrate:down
DROP FUNCTION workflow_claim(text, integer, interval, integer);
DROP FUNCTION workflow_claim(text, integer, interval, integer, smallint);
DROP FUNCTION workflow_lane(text);
ALTER TABLE workflow_ready DROP COLUMN lane;
CREATE INDEX workflow_ready_free ON workflow_ready (ready_at, workflow_id) WHERE owner IS NULL;
