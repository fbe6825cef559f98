-- migrate:up
-- The audit log may be kept for a time, never for less than a year: a younger record cannot be deleted, and none can be changed.
CREATE OR REPLACE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < now() - interval '365 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Deletes the oldest records before the cutoff, at most so many; returns how many. With the rights of its owner: who runs the service may
-- need no right to delete.
CREATE FUNCTION forget_audit(cutoff timestamptz, most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH oldest AS (
        SELECT id, at FROM audit_log ORDER BY id LIMIT most
    ), gone AS (
        DELETE FROM audit_log WHERE id IN (SELECT id FROM oldest WHERE at < cutoff AND at < now() - interval '365 days') RETURNING 1
    )
    SELECT count(*) FROM gone
$$;
-- The function runs with its owner's rights, so nobody else may call it: whoever migrates gives the right to whom the service runs as.
REVOKE EXECUTE ON FUNCTION forget_audit(timestamptz, integer) FROM PUBLIC;

-- migrate:down
DROP FUNCTION forget_audit(timestamptz, integer);
CREATE OR REPLACE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
