-- migrate:up
-- What happens to an order beyond its hooks: the sum to pay and its tips, refunds that were asked for, documents.

-- What the workflow `update_transactions` worked out last: minor units of `currency`. One row a finished order.
CREATE TABLE order_transactions (
    number        text PRIMARY KEY,
    sum_to_pay    bigint NOT NULL,          -- for the goods, after what went back; without tips
    refunded      bigint NOT NULL,
    tips          bigint NOT NULL,
    currency      text NOT NULL,
    decided_by    text NOT NULL CHECK (decided_by IN ('service', 'old', 'nobody')),
    fallback      text,                     -- why the old rules decided although the service should have
    iterations    integer NOT NULL DEFAULT 1,
    computed_at   timestamptz NOT NULL,
    next_check_at timestamptz               -- null: nothing is left to check
) WITH (fillfactor = 80);

-- Refunds that this service asked for, by business key. What became of each stands in order_refund.
CREATE TABLE refund_request (
    business_key text PRIMARY KEY,
    order_number text NOT NULL,
    payment_id   text NOT NULL,
    amount       bigint CHECK (amount > 0), -- null: everything captured
    currency     text NOT NULL,
    reason       text NOT NULL,
    positions    jsonb NOT NULL DEFAULT '[]', -- [{"id", "quantity"}], where the sum was worked out from goods
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    rejected     text                       -- the code with which the refunds service turned it down
);
CREATE INDEX refund_request_order ON refund_request (order_number);
CREATE INDEX order_refund_business_key ON order_refund (business_key);

-- An order's document (voucher), every version of it, append-only.
CREATE TABLE order_document (
    order_number   text NOT NULL,
    version        integer NOT NULL,
    digest         text NOT NULL,           -- of the content: equal content has an equal digest
    content_type   text NOT NULL,
    content        text NOT NULL,
    order_revision bigint NOT NULL,
    issued_at      timestamptz NOT NULL,
    issued_by      text NOT NULL,
    reason         text NOT NULL,
    PRIMARY KEY (order_number, version)
);

INSERT INTO flag (name, enabled, share, updated_by) VALUES ('tips_service_shadow', false, 0, 'migration')
ON CONFLICT (name) DO NOTHING;

-- Set the tips of an order to zero, for good. The first reason stays; a repeat changes nothing.
-- outcome: zeroed | unchanged | not_found. previous_amount and held_amount are from before the call.
CREATE FUNCTION tips_set_zero(
    p_number text, p_reason text, OUT outcome text, OUT previous_amount bigint, OUT held_amount bigint, OUT currency text
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    r orders%ROWTYPE;
BEGIN
    SELECT * INTO r FROM orders AS o WHERE o.number = p_number FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    previous_amount := r.tips_amount;
    held_amount := coalesce(r.tips_held_amount, 0);
    currency := r.currency;
    IF r.tips_zeroed_at IS NOT NULL THEN
        outcome := 'unchanged';
        RETURN;
    END IF;
    UPDATE orders AS o
       SET tips_amount = 0, tips_zeroed_at = now(), tips_zeroed_reason = p_reason, tips_revision = o.tips_revision + 1,
           tips_held_at = CASE WHEN r.tips_held_amount > 0 THEN now() ELSE o.tips_held_at END,
           tips_held_amount = CASE WHEN r.tips_held_amount > 0 THEN 0 ELSE o.tips_held_amount END, updated_at = now()
     WHERE o.number = p_number;
    outcome := 'zeroed';
END
$$;
REVOKE ALL ON FUNCTION tips_set_zero(text, text) FROM PUBLIC;

-- migrate:down
DROP FUNCTION tips_set_zero(text, text);
DELETE FROM flag WHERE name = 'tips_service_shadow';
DROP INDEX order_refund_business_key;
DROP TABLE order_document, refund_request, order_transactions;
