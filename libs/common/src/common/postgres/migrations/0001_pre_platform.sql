-- migrate:up
-- The tables that every service with a database has. A service's own migrations start at 0100.

-- Events that a committed transaction wants published. The relay deletes a row when the broker has confirmed it.
CREATE TABLE outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange    text NOT NULL,
    routing_key text NOT NULL,
    body        bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Events that a consumer has taken in, inserted in the transaction of their effect.
CREATE TABLE inbox (
    consumer    text NOT NULL,
    event_id    text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_received_at ON inbox USING brin (received_at);

-- How often an event has failed in a consumer, so that poison is recognised after a restart too.
CREATE TABLE delivery_failures (
    consumer   text NOT NULL,
    event_id   text NOT NULL,
    attempts   integer NOT NULL,
    last_error text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);

-- Events that a consumer gave up on. An operator replays them; nothing deletes them.
CREATE TABLE dead_letters (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue       text NOT NULL,
    handler     text NOT NULL,
    event_id    text,
    event_type  text,
    subject     text,
    reason      text NOT NULL,
    error       text NOT NULL,
    body        bytea NOT NULL,
    dead_at     timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz,
    replayed_by text
);
CREATE INDEX dead_letters_open ON dead_letters (id) WHERE replayed_at IS NULL;

-- Who changed what, when and why. Append-only: see the trigger.
CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,
    role       text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL,
    reason     text NOT NULL,
    before     jsonb,
    after      jsonb,
    request_id text NOT NULL
);
CREATE INDEX audit_log_target ON audit_log (target, id);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();
CREATE TRIGGER audit_log_never_emptied BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();

-- Answers given to requests that carried an Idempotency-Key.
CREATE TABLE idempotency_keys (
    scope       text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    status      integer NOT NULL,
    body        jsonb,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys USING brin (created_at);

-- migrate:down
DROP TABLE idempotency_keys, audit_log, dead_letters, delivery_failures, inbox, outbox;
DROP FUNCTION audit_log_is_append_only();
