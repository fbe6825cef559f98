-- migrate:up
-- Refunds: payments they take from, their state, their attempts, and their history. Sums are minor units of `currency`.

-- What is known of a payment. `reserved` is the sum of its refunds that are not proven failures; the trigger below keeps it, and no
-- transaction, however many run at once, can bring it over what was captured.
CREATE TABLE payments (
    payment_id  text PRIMARY KEY,
    gateway     text NOT NULL,
    captured    bigint CHECK (captured > 0),       -- as the gateway says; NULL until it was asked
    currency    text,
    captured_at timestamptz,
    reserved    bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT captured_with_currency CHECK ((captured IS NULL) = (currency IS NULL)),
    CONSTRAINT refunds_never_exceed_captured CHECK (reserved = 0 OR (captured IS NOT NULL AND reserved <= captured))
);

CREATE TABLE refunds (
    id              uuid PRIMARY KEY,
    business_key    text NOT NULL UNIQUE,
    order_number    text NOT NULL,
    payment_id      text NOT NULL REFERENCES payments,
    amount          bigint CHECK (amount > 0),     -- NULL: everything captured and not refunded, settled before anything is sent
    currency        text NOT NULL,
    reason          text NOT NULL,
    -- RS_CREATE = 2 and RS_ERROR = 7 as operators know them; 3 SENDING, 4 PENDING, 5 SUCCESS, 6 UNKNOWN, 8 DECLINED, 9 REVERSED, 10 REJECTED
    state           smallint NOT NULL CHECK (state BETWEEN 2 AND 10),
    version         bigint NOT NULL,
    attempt         integer NOT NULL,
    reserved        bigint NOT NULL DEFAULT 0,
    tries           integer NOT NULL DEFAULT 0,
    declines        integer NOT NULL DEFAULT 0,
    error           text,
    next_attempt_at timestamptz,                   -- when a worker looks at it; NULL: not by itself
    lease_owner     text,
    lease_until     timestamptz,
    traceparent     text,
    created_at      timestamptz NOT NULL,
    state_since     timestamptz NOT NULL,
    CONSTRAINT reserved_of_amount CHECK (reserved = 0 OR (amount IS NOT NULL AND reserved BETWEEN 0 AND amount)),
    -- Nothing is sent, and no outcome is unknown, without its whole sum being taken from the payment.
    CONSTRAINT sent_is_reserved CHECK (state NOT IN (3, 6) OR (amount IS NOT NULL AND reserved = amount))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX refunds_due ON refunds (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX refunds_of_order ON refunds (order_number, id);
CREATE INDEX refunds_of_payment ON refunds (payment_id, id);
-- What is not over: the dashboard's gauges and the operator's list of errors stay cheap with a million finished refunds.
CREATE INDEX refunds_unfinished ON refunds (state, id) WHERE state NOT IN (5, 9, 10);

CREATE FUNCTION refunds_keep_reserved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.reserved <> 0 THEN
            UPDATE payments SET reserved = reserved + NEW.reserved WHERE payment_id = NEW.payment_id;
        END IF;
    ELSIF NEW.payment_id <> OLD.payment_id OR NEW.business_key <> OLD.business_key OR NEW.currency <> OLD.currency
          OR (OLD.amount IS NOT NULL AND NEW.amount IS DISTINCT FROM OLD.amount) THEN
        RAISE EXCEPTION 'payment, business key, currency and amount of a refund never change' USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.reserved <> OLD.reserved THEN
        UPDATE payments SET reserved = reserved + NEW.reserved - OLD.reserved WHERE payment_id = NEW.payment_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER refunds_keep_reserved AFTER INSERT OR UPDATE ON refunds
    FOR EACH ROW EXECUTE FUNCTION refunds_keep_reserved();

-- One row an attempt: the key it goes under, committed before the first call.
CREATE TABLE refund_attempts (
    refund_id         uuid NOT NULL REFERENCES refunds DEFERRABLE INITIALLY DEFERRED,
    attempt           integer NOT NULL,
    gateway           text NOT NULL,
    gateway_key       text NOT NULL,
    began_at          timestamptz NOT NULL,
    sent_at           timestamptz,                 -- the first call under this key; NULL: nothing can have reached the gateway
    gateway_refund_id text,
    PRIMARY KEY (refund_id, attempt)
);
CREATE INDEX refund_attempts_at_gateway ON refund_attempts (gateway, gateway_refund_id) WHERE gateway_refund_id IS NOT NULL;

CREATE FUNCTION refund_attempts_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.gateway <> OLD.gateway OR NEW.gateway_key <> OLD.gateway_key
       OR (OLD.sent_at IS NOT NULL AND NEW.sent_at IS DISTINCT FROM OLD.sent_at)
       OR (OLD.gateway_refund_id IS NOT NULL AND NEW.gateway_refund_id IS DISTINCT FROM OLD.gateway_refund_id) THEN
        RAISE EXCEPTION 'the key of an attempt and what the gateway calls it never change' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refund_attempts_only_grow BEFORE UPDATE OR DELETE ON refund_attempts
    FOR EACH ROW EXECUTE FUNCTION refund_attempts_only_grow();

-- Every change of state. Append-only.
CREATE TABLE refund_history (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    refund_id    uuid NOT NULL REFERENCES refunds,
    version      bigint NOT NULL,
    attempt      integer NOT NULL,
    state_before smallint,
    state_after  smallint NOT NULL,
    happened     text NOT NULL,
    actor        text NOT NULL,
    detail       text NOT NULL,
    at           timestamptz NOT NULL,
    UNIQUE (refund_id, version)
);

CREATE FUNCTION refund_history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refund_history is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER refund_history_append_only BEFORE UPDATE OR DELETE ON refund_history
    FOR EACH ROW EXECUTE FUNCTION refund_history_is_append_only();
CREATE TRIGGER refund_history_never_emptied BEFORE TRUNCATE ON refund_history
    FOR EACH STATEMENT EXECUTE FUNCTION refund_history_is_append_only();

-- migrate:down
DROP TABLE refund_history, refund_attempts, refunds, payments;
DROP FUNCTION refund_history_is_append_only();
DROP FUNCTION refund_attempts_only_grow();
DROP FUNCTION refunds_keep_reserved();
