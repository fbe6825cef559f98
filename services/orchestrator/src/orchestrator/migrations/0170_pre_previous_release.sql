-- migrate:up
-- What the previous release cannot read waits in the table for a replica of this one: it would stop an order at a correction, and it
-- folds what was skipped or mended as if it had not been. It claims by workflow_claim, which no later release does.
CREATE FUNCTION previous_release_reads(p_workflow bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (
        SELECT FROM workflow AS w
        JOIN workflow AS life ON life.order_number = w.order_number AND life.kind = 'order_life' AND life.key = ''
        JOIN workflow_event AS e ON e.workflow_id = life.id
        WHERE w.id = p_workflow
          AND (e.attributes ?| ARRAY['occurred_at', 'mend_of', 'operator'] OR e.type NOT IN (
              'order.created', 'order.changed', 'order.paid', 'order.received', 'order.delivered', 'order.cancelled'))
    ) AND NOT EXISTS (
        SELECT FROM workflow AS w
        JOIN workflow AS life ON life.order_number = w.order_number AND life.kind = 'order_life' AND life.key = ''
        JOIN set_aside_event AS a ON a.workflow_id = life.id
        WHERE w.id = p_workflow
    ) AND NOT EXISTS (
        SELECT FROM workflow AS w JOIN orders AS o ON o.number = w.order_number
        WHERE w.id = p_workflow
          AND o.document @? '$.incidents[*] ? (@.kind == "order_emptied" || @.kind == "order_currency_differs")'
    )
$$;

CREATE OR REPLACE FUNCTION workflow_claim(p_owner text, p_limit integer, p_lease interval, p_events integer, p_lane smallint)
RETURNS TABLE (workflow_id bigint, order_number text, kind text, key text, done_seq integer, fence bigint, attempts smallint,
               seq integer, type text, event_id text, attributes jsonb, payload bytea, traceparent text,
               received_at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    claimed bigint[];
BEGIN
    WITH picked AS (
        SELECT r.workflow_id FROM workflow_ready AS r
        WHERE r.owner IS NULL AND r.lane = p_lane AND r.ready_at <= clock_timestamp() AND previous_release_reads(r.workflow_id)
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

-- migrate:down
CREATE OR REPLACE FUNCTION workflow_claim(p_owner text, p_limit integer, p_lease interval, p_events integer, p_lane smallint)
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
DROP FUNCTION previous_release_reads(bigint);
