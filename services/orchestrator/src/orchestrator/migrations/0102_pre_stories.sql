-- migrate:up
-- What operators read about an order, and the switches they set.

-- Everything that happened to an order, from every service, append-only. Hooks are not in it: they are workflow events already.
CREATE TABLE timeline (
    order_number text NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    occurred_at  timestamptz NOT NULL,
    service      text NOT NULL,
    kind         text NOT NULL,
    actor        text NOT NULL,
    summary      text NOT NULL,
    details      jsonb NOT NULL DEFAULT '{}',
    traceparent  text,
    PRIMARY KEY (order_number, id)
);

-- Refunds as the refunds service tells of them; the newest version of each.
CREATE TABLE order_refund (
    refund_id    text PRIMARY KEY,
    order_number text NOT NULL,
    payment_id   text NOT NULL,
    business_key text NOT NULL,
    state        integer NOT NULL,
    state_name   text NOT NULL,
    version      bigint NOT NULL,
    amount       bigint,
    currency     text,
    updated_at   timestamptz NOT NULL
);
CREATE INDEX order_refund_order ON order_refund (order_number);

-- Switches, audited. Everything that is not named here is off.
CREATE TABLE flag (
    name       text PRIMARY KEY,
    enabled    boolean NOT NULL,
    share      integer NOT NULL CHECK (share BETWEEN 0 AND 10000), -- of orders, in hundredths of a percent
    version    bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL
);
INSERT INTO flag (name, enabled, share, updated_by)
VALUES ('tips_service', false, 10000, 'migration'), ('tips_service_experiment', false, 0, 'migration');

-- migrate:down
DROP TABLE flag, order_refund, timeline;
