-- migrate:up
-- What came under which name (source and external id) first: a digest of customer, goods and address. Written on the way of an order
-- where the database answers in time, else by the recorder.
CREATE TABLE order_contents (
    key      bytea PRIMARY KEY,
    content  bytea NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX order_contents_first_at ON order_contents (first_at);

-- Website orders that were taken lately: what likely duplicates of an endangered order, and its customer's second try, are found by.
CREATE TABLE website_arrivals (
    number      text PRIMARY KEY,
    source      text NOT NULL,
    received_at timestamptz NOT NULL,
    phone       text,
    email       text,
    basket_key  bytea,
    basket      jsonb NOT NULL
);
CREATE INDEX website_arrivals_received_at ON website_arrivals (received_at);
CREATE INDEX website_arrivals_phone ON website_arrivals (phone, received_at) WHERE phone IS NOT NULL;
CREATE INDEX website_arrivals_email ON website_arrivals (email, received_at) WHERE email IS NOT NULL;
CREATE INDEX website_arrivals_basket ON website_arrivals (basket_key, received_at) WHERE basket_key IS NOT NULL;

-- Whose orders are refused for ordering too often. The keys are those of order_limits; a row goes a day after the ban's end.
CREATE TABLE order_bans (
    key        bytea PRIMARY KEY,
    kind       text NOT NULL,
    value      text NOT NULL,
    source     text NOT NULL,
    since      timestamptz NOT NULL,
    until      timestamptz NOT NULL,
    refused    bigint NOT NULL,
    refused_at timestamptz NOT NULL,
    lifted_at  timestamptz
);
CREATE INDEX order_bans_until ON order_bans (until);

-- Every website's token that ever was valid, as SHA-256: a request with one of these is not a stranger's.
CREATE TABLE website_tokens (
    digest     bytea PRIMARY KEY,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now()
);

-- Requests without a valid token, by network and hour: each row is one warning.
CREATE TABLE anonymous_refusals (
    network text NOT NULL,
    hour    timestamptz NOT NULL,
    count   bigint NOT NULL,
    PRIMARY KEY (network, hour)
);

ALTER TABLE endangered_orders
    ADD COLUMN source text NOT NULL DEFAULT 'website',
    ADD COLUMN phone text,
    ADD COLUMN email text,
    ADD COLUMN basket_key bytea,
    ADD COLUMN network text,
    ADD COLUMN anonymous boolean NOT NULL DEFAULT false,
    ADD COLUMN outcome text CHECK (outcome IN ('done', 'own_test')), -- of a closed one
    ADD COLUMN report_id uuid, -- the report that covers it, unless that was given up
    ADD COLUMN version bigint NOT NULL DEFAULT 1;
UPDATE endangered_orders SET email = nullif(lower(trim(customer ->> 'email')), ''), phone = CASE
        WHEN digits ~ '^8[0-9]{10}$' THEN '+7' || substr(digits, 2)
        WHEN digits ~ '^9[0-9]{9}$' THEN '+7' || digits
        WHEN length(digits) BETWEEN 7 AND 15 THEN '+' || digits END
FROM (SELECT id AS of_id, regexp_replace(customer ->> 'phone', '[^0-9]', '', 'g') AS digits FROM endangered_orders) AS said
WHERE said.of_id = id;
UPDATE endangered_orders AS e SET report_id = r.id FROM endangered_reports AS r WHERE r.endangered_id = e.id AND r.state <> 'failed';
CREATE INDEX endangered_orders_phone ON endangered_orders (phone, received_at) WHERE phone IS NOT NULL;
CREATE INDEX endangered_orders_email ON endangered_orders (email, received_at) WHERE email IS NOT NULL;
CREATE INDEX endangered_orders_basket ON endangered_orders (basket_key, received_at) WHERE basket_key IS NOT NULL;
CREATE INDEX endangered_orders_network ON endangered_orders (network, received_at) WHERE network IS NOT NULL;
CREATE INDEX endangered_orders_named ON endangered_orders (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX endangered_orders_number ON endangered_orders (number) WHERE number IS NOT NULL;
CREATE INDEX endangered_orders_report ON endangered_orders (report_id) WHERE report_id IS NOT NULL;

-- Whoever changes an endangered order, this release or the one before: its version says so.
CREATE FUNCTION endangered_order_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;
CREATE TRIGGER endangered_order_changed BEFORE UPDATE ON endangered_orders
    FOR EACH ROW EXECUTE FUNCTION endangered_order_changed();

-- A report that covers many orders is composed after the change that wrote it; only then it waits for the mail server.
ALTER TABLE endangered_reports
    DROP CONSTRAINT endangered_reports_state_check,
    ADD CONSTRAINT endangered_reports_state_check CHECK (state IN ('composing', 'waiting', 'sending', 'sent', 'failed'));
-- One report may cover many orders; endangered_reports names the first of them.
CREATE TABLE endangered_report_orders (
    report_id     uuid NOT NULL REFERENCES endangered_reports (id) ON DELETE CASCADE,
    endangered_id uuid NOT NULL REFERENCES endangered_orders (id) ON DELETE CASCADE,
    PRIMARY KEY (report_id, endangered_id)
);
CREATE INDEX endangered_report_orders_order ON endangered_report_orders (endangered_id);
INSERT INTO endangered_report_orders SELECT id, endangered_id FROM endangered_reports;

-- migrate:down
DROP TABLE endangered_report_orders;
UPDATE endangered_reports SET state = 'failed' WHERE state = 'composing';
ALTER TABLE endangered_reports
    DROP CONSTRAINT endangered_reports_state_check,
    ADD CONSTRAINT endangered_reports_state_check CHECK (state IN ('waiting', 'sending', 'sent', 'failed'));
DROP TRIGGER endangered_order_changed ON endangered_orders;
DROP FUNCTION endangered_order_changed();
DROP INDEX endangered_orders_phone, endangered_orders_email, endangered_orders_basket, endangered_orders_network, endangered_orders_named,
           endangered_orders_number, endangered_orders_report;
ALTER TABLE endangered_orders
    DROP COLUMN source, DROP COLUMN phone, DROP COLUMN email, DROP COLUMN basket_key, DROP COLUMN network, DROP COLUMN anonymous,
    DROP COLUMN outcome, DROP COLUMN report_id, DROP COLUMN version;
DROP TABLE anonymous_refusals, website_tokens, order_bans, website_arrivals, order_contents;
