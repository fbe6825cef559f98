-- migrate:up
-- Refunded tips, counted from the order row: the intake of refund events marks it in one transaction with their inbox, so the row is
-- a refund event that has come to rest. Tips needs no broker for it.

-- Set once tips has looked at the refunded order. In the index' predicate instead of `tips_seen`, which every new mark changes: the
-- updates of tips_set_sum() stay heap-only.
ALTER TABLE orders ADD COLUMN tips_refund_counted boolean NOT NULL DEFAULT false;
CREATE INDEX orders_tips_refund_due ON orders (number) WHERE refunded AND NOT tips_refund_counted;

-- Look at refunded orders that nobody has looked at, at most p_limit of them. One row for each whose tips have gone with the refund: it
-- had tips once and has the mark `refunded` from now on. `looked_at` is how many orders were looked at, the same in every row; a last
-- row without a place carries it alone. Concurrent callers never get the same order.
CREATE FUNCTION tips_take_refunded(p_limit integer, OUT zone text, OUT tariff text, OUT looked_at integer)
RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH due AS (
        SELECT o.number,
               'tipped' = ANY (o.tips_seen) AND 'refunded' <> ALL (o.tips_seen) AS lost
        FROM orders AS o
        WHERE o.refunded AND NOT o.tips_refund_counted
        ORDER BY o.number LIMIT least(p_limit, 1000)
        FOR NO KEY UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE orders AS o
           SET tips_refund_counted = true,
               tips_seen = CASE WHEN due.lost THEN o.tips_seen || 'refunded'::text ELSE o.tips_seen END
          FROM due WHERE o.number = due.number
        RETURNING o.zone, o.tariff, due.lost
    )
    SELECT t.zone, t.tariff, (SELECT count(*)::integer FROM taken) FROM taken AS t WHERE t.lost
    UNION ALL
    SELECT NULL, NULL, (SELECT count(*)::integer FROM taken)
$$;
REVOKE ALL ON FUNCTION tips_take_refunded(integer) FROM PUBLIC;

-- As before (0100 tells what it does), but the mark `refunded` goes only to an order that had tips: it is tips that are counted.
CREATE OR REPLACE FUNCTION tips_set_sum(
    p_number text, p_expected_version bigint, p_amount bigint, p_type text, p_choice text,
    p_feedback_at timestamptz, p_done boolean,
    OUT outcome text, OUT version bigint, OUT previous_amount bigint, OUT amount bigint, OUT first_seen text[]
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    r     orders%ROWTYPE;
    marks text[] := ARRAY['order'];
BEGIN
    first_seen := '{}';
    SELECT * INTO r FROM orders AS o WHERE o.number = p_number FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    version := r.revision + r.tips_revision;
    previous_amount := r.tips_amount;
    amount := r.tips_amount;
    IF r.status <> 'delivered' THEN
        outcome := 'not_finished';
        RETURN;
    ELSIF version <> p_expected_version THEN
        outcome := 'stale_version';
        RETURN;
    ELSIF r.tips_feedback_at IS NOT NULL AND (p_feedback_at IS NULL OR p_feedback_at < r.tips_feedback_at) THEN
        outcome := 'stale_feedback';
        RETURN;
    ELSIF r.tips_zeroed_at IS NOT NULL AND p_amount > 0 THEN
        outcome := 'zeroed';
        RETURN;
    END IF;

    IF p_amount > 0 THEN
        marks := marks || 'tipped'::text;
        IF p_choice IS NOT NULL THEN marks := marks || ('choice:' || p_choice); END IF;
        IF p_type IS NOT NULL THEN marks := marks || ('type:' || p_type); END IF;
    END IF;
    IF 'order' = ANY (r.tips_seen) THEN
        IF p_amount > r.tips_amount THEN
            marks := marks || 'increase'::text;
        ELSIF p_amount < r.tips_amount THEN
            marks := marks || CASE WHEN p_amount = 0 THEN 'removed'::text ELSE 'decrease'::text END;
        END IF;
    END IF;
    IF r.refunded AND 'tipped' = ANY (r.tips_seen) THEN marks := marks || 'refunded'::text; END IF;
    first_seen := ARRAY(SELECT m FROM unnest(marks) AS m WHERE m <> ALL (r.tips_seen));

    IF (r.tips_amount, r.tips_done) IS NOT DISTINCT FROM (p_amount, p_done)
       AND r.tips_type IS NOT DISTINCT FROM p_type
       AND r.tips_choice IS NOT DISTINCT FROM p_choice
       AND r.tips_feedback_at IS NOT DISTINCT FROM p_feedback_at THEN
        outcome := 'unchanged';
        IF cardinality(first_seen) > 0 THEN
            UPDATE orders AS o SET tips_seen = r.tips_seen || first_seen WHERE o.number = p_number;
        END IF;
        RETURN;
    END IF;
    outcome := CASE WHEN p_amount = r.tips_amount THEN 'stored' ELSE 'changed' END;
    UPDATE orders AS o
       SET tips_amount = p_amount, tips_type = p_type, tips_choice = p_choice, tips_feedback_at = p_feedback_at,
           tips_done = p_done, tips_seen = r.tips_seen || first_seen, tips_revision = o.tips_revision + 1,
           updated_at = now()
     WHERE o.number = p_number
     RETURNING o.revision + o.tips_revision, o.tips_amount INTO version, amount;
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tips') THEN
        GRANT EXECUTE ON FUNCTION tips_take_refunded(integer) TO tips;
    END IF;
END
$$;

-- migrate:down
-- tips_set_sum() stays as it is: to earlier code its narrower mark is the same.
DROP FUNCTION tips_take_refunded(integer);
DROP INDEX orders_tips_refund_due;
ALTER TABLE orders DROP COLUMN tips_refund_counted;
