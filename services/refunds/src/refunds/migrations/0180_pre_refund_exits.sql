-- migrate:up
-- Exits of refunds: people close what is in RS_ERROR, and settle differences.

-- 12 CLOSED: people ended a refund that was in RS_ERROR. `settled` stays, whatever the payment system says later.
ALTER TABLE refunds DROP CONSTRAINT refunds_state_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_state_check CHECK (state BETWEEN 2 AND 12);
ALTER TABLE refunds
    ADD COLUMN settled text CHECK (settled IN ('outside', 'given_up')),
    -- Whether everything captured was asked for, so that a business key that is used again is held against it. NULL: before this.
    ADD COLUMN everything boolean,
    ADD CONSTRAINT closed_is_settled CHECK (state <> 12 OR settled IS NOT NULL);

-- What is known of the money, so that a difference can be taken over; who has seen it, and how it ended.
ALTER TABLE refund_differences
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    ADD COLUMN payment_id text,
    ADD COLUMN amount bigint,
    ADD COLUMN currency text,
    ADD COLUMN acknowledged_at timestamptz,
    ADD COLUMN acknowledged_by text,
    ADD COLUMN adopted_as uuid REFERENCES refunds;

-- migrate:down
ALTER TABLE refund_differences
    DROP COLUMN adopted_as, DROP COLUMN acknowledged_by, DROP COLUMN acknowledged_at, DROP COLUMN currency,
    DROP COLUMN amount, DROP COLUMN payment_id, DROP COLUMN version;
ALTER TABLE refunds DROP CONSTRAINT closed_is_settled, DROP COLUMN everything, DROP COLUMN settled;
ALTER TABLE refunds DROP CONSTRAINT refunds_state_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_state_check CHECK (state BETWEEN 2 AND 11);
