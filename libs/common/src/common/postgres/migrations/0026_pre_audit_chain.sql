-- migrate:up
-- The audit log's records in the order in which they were sealed, each with a hash of itself and of all before it. Only `seal_audit` adds
-- to it. An entry stays when its record has been forgotten (`forget_audit`): the chain is whole without it.
CREATE TABLE audit_chain (
    position  bigint PRIMARY KEY,
    audit_id  bigint NOT NULL UNIQUE,
    at        timestamptz NOT NULL,
    digest    bytea NOT NULL,
    hash      bytea NOT NULL,
    forgotten boolean NOT NULL DEFAULT false
);

-- Records that have no seal yet. A number of the log is given before its transaction commits, so that the next number says nothing about
-- what is still to come: what waits is written down by whoever writes the record, in the same transaction.
CREATE TABLE audit_unsealed (audit_id bigint PRIMARY KEY);
CREATE FUNCTION audit_log_awaits_its_seal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO audit_unsealed (audit_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION audit_log_awaits_its_seal() FROM PUBLIC;
-- Waits for transactions that write records; those that come after it are noted, those before it are seen by the next statement.
CREATE TRIGGER audit_log_awaits_its_seal AFTER INSERT ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_awaits_its_seal();
INSERT INTO audit_unsealed (audit_id) SELECT id FROM audit_log;

-- Seals the oldest records that wait, at most so many; returns how many. One at a time does it: whoever comes second does nothing. What is
-- hashed, and how, common.service.audit_chain says, which works it out anew.
CREATE FUNCTION seal_audit(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    place  bigint;
    link   bytea;
    own    bytea;
    sealed bigint[] := '{}';
    entry  audit_log%ROWTYPE;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('platform.audit_chain')) THEN
        RETURN 0;
    END IF;
    SELECT c.position, c.hash INTO place, link FROM audit_chain AS c ORDER BY c.position DESC LIMIT 1;
    place := coalesce(place, 0);
    link := coalesce(link, '\x');
    FOR entry IN
        SELECT l.* FROM audit_unsealed AS u JOIN audit_log AS l ON l.id = u.audit_id ORDER BY u.audit_id LIMIT most
    LOOP
        place := place + 1;
        own := sha256(convert_to(jsonb_build_array(
            entry.id, (extract(epoch FROM entry.at) * 1000000)::bigint, entry.actor, entry.role, entry.action, entry.target,
            entry.reason, entry.before, entry.after, entry.request_id
        )::text, 'UTF8'));
        link := sha256(
            link || int8send(place) || int8send(entry.id) || int8send((extract(epoch FROM entry.at) * 1000000)::bigint) || own
        );
        INSERT INTO audit_chain (position, audit_id, at, digest, hash) VALUES (place, entry.id, entry.at, own, link);
        sealed := sealed || entry.id;
    END LOOP;
    DELETE FROM audit_unsealed WHERE audit_id = ANY (sealed);
    RETURN cardinality(sealed);
END
$$;
REVOKE EXECUTE ON FUNCTION seal_audit(integer) FROM PUBLIC;

-- As before, but only what is sealed goes, and the chain says that it went.
CREATE OR REPLACE FUNCTION forget_audit(cutoff timestamptz, most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH oldest AS (
        SELECT id, at FROM audit_log ORDER BY id LIMIT most
    ), gone AS (
        DELETE FROM audit_log WHERE id IN (
            SELECT o.id FROM oldest AS o JOIN audit_chain AS c ON c.audit_id = o.id
            WHERE o.at < cutoff AND o.at < now() - interval '365 days'
        ) RETURNING id
    ), noted AS (
        UPDATE audit_chain SET forgotten = true WHERE audit_id IN (SELECT id FROM gone)
    )
    SELECT count(*) FROM gone
$$;

-- migrate:down
CREATE OR REPLACE FUNCTION forget_audit(cutoff timestamptz, most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH oldest AS (
        SELECT id, at FROM audit_log ORDER BY id LIMIT most
    ), gone AS (
        DELETE FROM audit_log WHERE id IN (SELECT id FROM oldest WHERE at < cutoff AND at < now() - interval '365 days') RETURNING 1
    )
    SELECT count(*) FROM gone
$$;
DROP FUNCTION seal_audit(integer);
DROP TRIGGER audit_log_awaits_its_seal ON audit_log;
DROP FUNCTION audit_log_awaits_its_seal();
DROP TABLE audit_unsealed, audit_chain;
