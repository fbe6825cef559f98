-- migrate:up
-- An event that cannot be carried out fails alone: it is set aside, and the other events of its workflow go on.

-- One row for each event that did not take effect when its turn came. There are rows only where something failed: an event that is
-- carried out never touches this table. Rows go with their events (retention).
-- state: 1 to be tried again, 3 failed, 4 skipped, 5 superseded, 6 mended. `code`, `error` and `error_stack` say what and where, never a
-- payload. `replaced_by` is the sequence number of the event that took its place.
CREATE TABLE set_aside_event (
    workflow_id bigint NOT NULL,
    seq         integer NOT NULL,
    type        text NOT NULL,
    source      text,
    state       smallint NOT NULL DEFAULT 3 CHECK (state IN (1, 3, 4, 5, 6)),
    code        text NOT NULL,
    error       text NOT NULL,
    error_stack text NOT NULL,
    attempts    integer NOT NULL,
    failed_at   timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    ended_by    text,
    ended_why   text,
    replaced_by integer,
    PRIMARY KEY (workflow_id, seq)
);
CREATE INDEX set_aside_event_open ON set_aside_event (workflow_id, seq) WHERE state IN (1, 3);

-- Events of a workflow that wait for a person, and those that are about to be tried again. Constant defaults: no table is rewritten.
ALTER TABLE workflow ADD COLUMN failed_events integer NOT NULL DEFAULT 0 CHECK (failed_events >= 0);
ALTER TABLE workflow ADD COLUMN retried_events integer NOT NULL DEFAULT 0 CHECK (retried_events >= 0);

-- As workflow_claim (0120), and with events that were set aside: those to be tried again, to be carried out; those that failed, without
-- their payload, so that the handler sees whether an event takes the place of one. For a workflow without any nothing more is read.
CREATE FUNCTION workflow_take(p_owner text, p_limit integer, p_lease interval, p_events integer, p_lane smallint)
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

-- As before (0101), and a workflow with a failed event has crashed as far as people are concerned, although it goes on.
CREATE OR REPLACE FUNCTION order_aggregate_state(p_number text, p_status text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN bool_or(w.state = 4 OR w.failed_events > 0 AND w.state <> 2) THEN 'crashed'
        WHEN bool_or(w.state = 2) THEN 'stopped'
        WHEN p_status = 'cancelled' THEN 'cancelled'
        WHEN p_status = 'delivered' THEN 'finished'
        ELSE 'in_progress'
    END
    FROM workflow AS w WHERE w.order_number = p_number
$$;

-- migrate:down
CREATE OR REPLACE FUNCTION order_aggregate_state(p_number text, p_status text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN bool_or(w.state = 4) THEN 'crashed'
        WHEN bool_or(w.state = 2) THEN 'stopped'
        WHEN p_status = 'cancelled' THEN 'cancelled'
        WHEN p_status = 'delivered' THEN 'finished'
        ELSE 'in_progress'
    END
    FROM workflow AS w WHERE w.order_number = p_number
$$;
DROP FUNCTION workflow_take(text, integer, interval, integer, smallint);
ALTER TABLE workflow DROP COLUMN retried_events, DROP COLUMN failed_events;
DROP TABLE set_aside_event;
