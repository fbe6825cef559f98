-- migrate:up
-- Orders, what they did to the stores' balances, and the one door that the tips service has into this database.

-- One row an order: the fold of its events. Two writers share it, each with columns of its own: the order-life
-- workflow (guarded by its fence) and tips_set_sum(). The version that the outside sees is revision + tips_revision, so neither
-- writer can lose the other's work.
CREATE TABLE orders (
    number             text PRIMARY KEY,
    source             text NOT NULL,
    external_id        text NOT NULL,
    status             text NOT NULL CHECK (status IN ('created', 'paid', 'received', 'delivered', 'cancelled')),
    aggregate_state    text NOT NULL DEFAULT 'in_progress'
                       CHECK (aggregate_state IN ('in_progress', 'finished', 'cancelled', 'stopped', 'crashed')),
    closed             boolean NOT NULL,
    shipped            boolean NOT NULL,
    paid               boolean NOT NULL,
    revision           bigint NOT NULL,
    store_id           text,
    zone               text NOT NULL,
    tariff             text NOT NULL,
    currency           text NOT NULL,
    payment_method     text,
    payment_id         text,
    cost_total         bigint,                     -- minor units, final cost without tips
    document           jsonb NOT NULL,             -- the whole state, as orchestrator.orders.store writes it
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    finished_at        timestamptz,                -- when the customer had it, by the marketplace's clock
    refunded           boolean NOT NULL DEFAULT false,
    -- Columns of the tips service; nobody else writes them but the five places that set tips to zero.
    tips_revision      bigint NOT NULL DEFAULT 0,
    tips_amount        bigint NOT NULL DEFAULT 0 CHECK (tips_amount >= 0),
    tips_type          text CHECK (tips_type IN ('percent', 'flat')),
    tips_choice        text CHECK (tips_choice IN ('suggested', 'custom', 'default')),
    tips_feedback_at   timestamptz,
    tips_done          boolean NOT NULL DEFAULT false,
    tips_seen          text[] NOT NULL DEFAULT '{}',
    tips_held_amount   bigint,
    tips_held_at       timestamptz,
    tips_zeroed_at     timestamptz,
    tips_zeroed_reason text
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- None of these columns changes after the first write, so updates stay heap-only.
CREATE INDEX orders_created ON orders (created_at, number);
CREATE INDEX orders_store ON orders (store_id, created_at, number);
CREATE INDEX orders_external ON orders (external_id);

-- The stores' goods, append-only. The sum over an order, a store and a position is what the fold says has left the store:
-- a write-off is negative, a late older event corrects by the difference.
CREATE TABLE stock_movements (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number      text NOT NULL,
    revision    bigint NOT NULL,
    store_id    text NOT NULL,
    position_id text NOT NULL,
    quantity    numeric(18, 6) NOT NULL CHECK (quantity <> 0),
    kind        text NOT NULL CHECK (kind IN ('shipment', 'correction')),
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (number, revision, store_id, position_id)
);
CREATE INDEX stock_movements_store ON stock_movements (store_id, id);

-- The tips service's role. `NOLOGIN`: the deployment creates it with a password, or grants it to a login of its own.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tips') THEN
        CREATE ROLE tips NOLOGIN;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN RAISE NOTICE 'role tips is missing and may not be created here';
    WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration was faster
END
$$;

-- All that tips may read. Sums are minor units of `currency`.
CREATE VIEW tips_order AS
SELECT o.number,
       o.status,
       o.status = 'delivered'          AS finished,
       o.finished_at,
       o.closed,
       o.revision + o.tips_revision    AS version,
       o.payment_method,
       o.payment_id,
       o.currency,
       o.cost_total,
       o.tips_amount,
       o.tips_type,
       o.tips_choice,
       o.tips_feedback_at,
       o.tips_done,
       o.tips_seen,
       o.tips_held_amount,
       o.tips_held_at,
       o.tips_zeroed_at,
       o.tips_zeroed_reason,
       o.refunded,
       o.zone,
       o.tariff
FROM orders AS o;

-- All that tips may change: set the tips of a finished order to an absolute sum. Idempotent, safe under concurrent calls.
--
-- outcome:  changed         the sum is another one; version + 1
--           stored          the sum is the same, the feedback is newer or differs otherwise; version + 1
--           unchanged       nothing to do
--           stale_version   the order is not at p_expected_version any more: read again, decide again
--           stale_feedback  older feedback than what is stored (or none, where some is stored): refused
--           zeroed          tips were set to zero for good and p_amount is not zero: refused
--           not_finished, not_found
-- version, previous_amount, amount: after the call, before it, after it.
-- first_seen: the marks that this call is the first of this order to earn, for counters that count an order once: order, tipped,
--           choice:<choice>, type:<type>, increase, decrease, removed, refunded. Empty for refusals.
CREATE FUNCTION tips_set_sum(
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
    IF r.refunded THEN marks := marks || 'refunded'::text; END IF;
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
REVOKE ALL ON FUNCTION tips_set_sum(text, bigint, bigint, text, text, timestamptz, boolean) FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tips') THEN
        GRANT USAGE ON SCHEMA public TO tips;
        GRANT SELECT ON tips_order TO tips;
        GRANT EXECUTE ON FUNCTION tips_set_sum(text, bigint, bigint, text, text, timestamptz, boolean) TO tips;
    END IF;
END
$$;

-- migrate:down
DROP FUNCTION tips_set_sum(text, bigint, bigint, text, text, timestamptz, boolean);
DROP VIEW tips_order;
DROP TABLE stock_movements, orders;
