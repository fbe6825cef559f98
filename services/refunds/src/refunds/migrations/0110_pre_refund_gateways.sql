-- migrate:up
-- Several gateways, evidence, lines of an order, one problem an attempt, and reconciliation.

-- 11 CANCELLED: nothing was captured, the payment was cancelled instead of refunded.
ALTER TABLE refunds DROP CONSTRAINT refunds_state_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_state_check CHECK (state BETWEEN 2 AND 11);
-- For reconciliation: what changed since, finished ones too.
CREATE INDEX refunds_changed ON refunds (state_since);

ALTER TABLE refund_attempts ADD COLUMN problem_at timestamptz, ADD COLUMN problem_over_at timestamptz;
CREATE INDEX refund_attempts_by_key ON refund_attempts (gateway, gateway_key);

-- What was asked and answered: the evidence for a person. No secret, nothing of a customer.
CREATE TABLE gateway_calls (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    refund_id uuid NOT NULL REFERENCES refunds,
    attempt   integer NOT NULL,
    at        timestamptz NOT NULL,
    operation text NOT NULL,
    request   text NOT NULL,
    outcome   text NOT NULL,
    answer    text NOT NULL,
    seconds   real NOT NULL
);
CREATE INDEX gateway_calls_of_refund ON gateway_calls (refund_id, id);

-- Which lines of the order a refund is for. Sums are minor units of the refund's currency.
CREATE TABLE refund_lines (
    refund_id   uuid NOT NULL REFERENCES refunds,
    line_id     text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('position', 'delivery', 'tips')),
    quantity    numeric NOT NULL CHECK (quantity > 0),
    of_quantity numeric NOT NULL CHECK (of_quantity > 0),
    paid        bigint NOT NULL CHECK (paid >= 0),
    amount      bigint NOT NULL CHECK (amount BETWEEN 0 AND paid),
    PRIMARY KEY (refund_id, line_id)
);

-- What our books and a gateway's disagree about. Known once until it is over.
CREATE TABLE refund_differences (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    gateway      text NOT NULL,
    subject      text NOT NULL,
    order_number text,
    detail       text NOT NULL,
    found_at     timestamptz NOT NULL,
    over_at      timestamptz
);
CREATE UNIQUE INDEX refund_differences_open ON refund_differences (subject, gateway, kind) WHERE over_at IS NULL;

-- One reconciliation a day, whichever replica does it; one that died in it is taken over when its lease is up.
CREATE TABLE reconciliation_days (
    day         date PRIMARY KEY,
    owner       text NOT NULL,
    lease_until timestamptz NOT NULL,
    finished_at timestamptz
);

-- migrate:down
DROP TABLE reconciliation_days, refund_differences, refund_lines, gateway_calls;
DROP INDEX refund_attempts_by_key;
ALTER TABLE refund_attempts DROP COLUMN problem_at, DROP COLUMN problem_over_at;
DROP INDEX refunds_changed;
ALTER TABLE refunds DROP CONSTRAINT refunds_state_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_state_check CHECK (state BETWEEN 2 AND 10);
