-- migrate:up
-- How often orders came by one phone, address or network. Keys are keyed digests: no phone stands here. Unlogged: a crash of the
-- server forgets the limits, which costs nobody an order, and an order waits for no disk.
CREATE UNLOGGED TABLE order_limits (
    key         bytea PRIMARY KEY,
    state       bigint NOT NULL, -- of a limit: GCRA's theoretical arrival time in microseconds; of an order: how often it was let pass
    fresh_until timestamptz NOT NULL
);
CREATE INDEX order_limits_fresh_until ON order_limits (fresh_until);

-- Every manager token that ever was valid, as SHA-256: a refused one of these means that the managers' way past the limits is broken.
CREATE TABLE manager_tokens (
    digest     bytea PRIMARY KEY,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now()
);

-- An endangered order's way to its customer: new, mended, resubmitted, reported, closed. 'open' is what the release before wrote.
ALTER TABLE endangered_orders DROP CONSTRAINT endangered_orders_state_check;
UPDATE endangered_orders SET state = 'new' WHERE state = 'open';
ALTER TABLE endangered_orders
    ALTER COLUMN state SET DEFAULT 'new',
    ADD CONSTRAINT endangered_orders_state_check
        CHECK (state IN ('open', 'new', 'mended', 'resubmitted', 'reported', 'closed')),
    ADD COLUMN origin text NOT NULL DEFAULT 'server' CHECK (origin IN ('server', 'front_end')),
    ADD COLUMN link text,
    ADD COLUMN mended_body bytea,
    ADD COLUMN mended_at timestamptz,
    ADD COLUMN reported_at timestamptz,
    ADD COLUMN closed_at timestamptz,
    ADD COLUMN arrived_at timestamptz; -- the website sent the same order again, and it was taken
DROP INDEX endangered_orders_open;
CREATE INDEX endangered_orders_open ON endangered_orders (received_at, id) WHERE state IN ('open', 'new', 'mended');
CREATE INDEX endangered_orders_external_id ON endangered_orders (external_id)
    WHERE external_id IS NOT NULL AND state IN ('open', 'new', 'mended');

-- Reports on endangered orders: what was written, to whom, and what became of the mail. The row is there before the mail goes.
CREATE TABLE endangered_reports (
    id            uuid PRIMARY KEY,
    endangered_id uuid NOT NULL REFERENCES endangered_orders (id),
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    cause         text NOT NULL,
    remedy        text NOT NULL,
    sender        text NOT NULL,
    recipient     text NOT NULL,
    copies        text[] NOT NULL,
    subject       text NOT NULL,
    body          text NOT NULL,
    message_id    text NOT NULL UNIQUE,
    traceparent   text,
    state         text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent', 'failed')),
    attempts      integer NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL, -- of a waiting one: the next try; of one being sent: when its sender is taken for dead
    last_error    text,
    sent_at       timestamptz
);
CREATE UNIQUE INDEX endangered_reports_one ON endangered_reports (endangered_id) WHERE state <> 'failed';
CREATE INDEX endangered_reports_due ON endangered_reports (due_at) WHERE state IN ('waiting', 'sending');

-- migrate:down
DROP TABLE endangered_reports, manager_tokens, order_limits;
DROP INDEX endangered_orders_external_id, endangered_orders_open;
UPDATE endangered_orders SET state = 'open' WHERE state IN ('new', 'mended');
UPDATE endangered_orders SET state = 'resubmitted' WHERE state IN ('reported', 'closed');
ALTER TABLE endangered_orders
    DROP CONSTRAINT endangered_orders_state_check,
    ALTER COLUMN state SET DEFAULT 'open',
    ADD CONSTRAINT endangered_orders_state_check CHECK (state IN ('open', 'resubmitted')),
    DROP COLUMN origin, DROP COLUMN link, DROP COLUMN mended_body, DROP COLUMN mended_at,
    DROP COLUMN reported_at, DROP COLUMN closed_at, DROP COLUMN arrived_at;
CREATE INDEX endangered_orders_open ON endangered_orders (received_at, id) WHERE state = 'open';
