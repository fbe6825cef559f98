-- migrate:up
-- Of a batch nobody can say which event killed its worker. Each workflow whose worker has died is suspect until its last event is done.
ALTER TABLE workflow_ready ADD COLUMN suspect boolean NOT NULL DEFAULT false;

CREATE INDEX workflow_ready_suspect ON workflow_ready (lane, ready_at, workflow_id) WHERE suspect;

-- As before (0140), and a suspect is lent alone, event by event, and only while no other one is out, wherever: one that kills its process
-- takes whatever is carried out in it along, so that the same neighbour could be hit each time and use up its attempts.
CREATE OR REPLACE FUNCTION workflow_take(p_owner text, p_limit integer, p_lease interval, p_events integer, p_lane smallint)
RETURNS TABLE (workflow_id bigint, order_number text, kind text, key text, done_seq integer, fence bigint, attempts smallint,
               seq integer, type text, event_id text, attributes jsonb, payload bytea, traceparent text,
               received_at timestamptz, aside smallint)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    claimed bigint[];
BEGIN
    IF EXISTS (SELECT FROM workflow_ready AS r WHERE r.suspect AND r.owner IS NULL AND r.lane = p_lane AND r.ready_at <= clock_timestamp())
       AND pg_try_advisory_xact_lock(hashtext('workflow_take.suspect')) THEN
        WITH picked AS (
            SELECT r.workflow_id FROM workflow_ready AS r
            WHERE r.suspect AND r.owner IS NULL AND r.lane = p_lane AND r.ready_at <= clock_timestamp()
              AND NOT EXISTS (SELECT FROM workflow_ready AS o WHERE o.suspect AND o.owner IS NOT NULL)
            ORDER BY r.ready_at, r.workflow_id
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE workflow_ready AS r
               SET owner = p_owner, lease_until = clock_timestamp() + p_lease, fence = nextval('workflow_fence')
              FROM picked AS p WHERE r.workflow_id = p.workflow_id
            RETURNING r.workflow_id
        )
        SELECT array_agg(t.workflow_id) INTO claimed FROM taken AS t;
    END IF;
    IF claimed IS NULL THEN
        WITH picked AS (
            SELECT r.workflow_id FROM workflow_ready AS r
            WHERE r.owner IS NULL AND r.lane = p_lane AND r.ready_at <= clock_timestamp() AND NOT r.suspect
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
    END IF;
    IF claimed IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT w.id, w.order_number, w.kind, w.key, w.done_seq, r.fence, r.attempts,
               e.seq, e.type, e.event_id, e.attributes, e.payload, e.traceparent, e.received_at, e.aside
        FROM unnest(claimed) AS c (id)
        JOIN workflow AS w ON w.id = c.id
        JOIN workflow_ready AS r ON r.workflow_id = w.id AND r.owner = p_owner
        LEFT JOIN LATERAL (
            (SELECT v.seq, v.type, v.event_id, v.attributes, v.payload, v.traceparent, v.received_at, NULL::smallint AS aside
             FROM workflow_event AS v
             WHERE v.workflow_id = w.id AND v.seq > w.done_seq
             ORDER BY v.seq
             LIMIT CASE WHEN r.suspect THEN 1 ELSE p_events END)
            UNION ALL
            SELECT v.seq, v.type, v.event_id, v.attributes, CASE WHEN a.state = 1 THEN v.payload ELSE ''::bytea END, v.traceparent,
                   v.received_at, a.state
            FROM set_aside_event AS a JOIN workflow_event AS v ON v.workflow_id = a.workflow_id AND v.seq = a.seq
            WHERE w.failed_events + w.retried_events > 0 AND a.workflow_id = w.id AND v.workflow_id = w.id AND a.state IN (1, 3)
        ) AS e ON true
        ORDER BY w.id, e.seq;
END
$$;

-- migrate:down
CREATE OR REPLACE FUNCTION workflow_take(p_owner text, p_limit integer, p_lease interval, p_events integer, p_lane smallint)
RETURNS TABLE (workflow_id bigint, order_number text, kind text, key text, done_seq integer, fence bigint, attempts smallint,
               seq integer, type text, event_id text, attributes jsonb, payload bytea, traceparent text,
               received_at timestamptz, aside smallint)
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
               e.seq, e.type, e.event_id, e.attributes, e.payload, e.traceparent, e.received_at, e.aside
        FROM unnest(claimed) AS c (id)
        JOIN workflow AS w ON w.id = c.id
        JOIN workflow_ready AS r ON r.workflow_id = w.id AND r.owner = p_owner
        LEFT JOIN LATERAL (
            (SELECT v.seq, v.type, v.event_id, v.attributes, v.payload, v.traceparent, v.received_at, NULL::smallint AS aside
             FROM workflow_event AS v
             WHERE v.workflow_id = w.id AND v.seq > w.done_seq
             ORDER BY v.seq
             LIMIT p_events)
            UNION ALL
            SELECT v.seq, v.type, v.event_id, v.attributes, CASE WHEN a.state = 1 THEN v.payload ELSE ''::bytea END, v.traceparent,
                   v.received_at, a.state
            FROM set_aside_event AS a JOIN workflow_event AS v ON v.workflow_id = a.workflow_id AND v.seq = a.seq
            WHERE w.failed_events + w.retried_events > 0 AND a.workflow_id = w.id AND v.workflow_id = w.id AND a.state IN (1, 3)
        ) AS e ON true
        ORDER BY w.id, e.seq;
END
$$;
ALTER TABLE workflow_ready DROP COLUMN suspect;
