-- migrate:up
-- Days of deliveries are made and dropped with the rights of the tables' owner: whom the gateway runs as may do neither by itself.
ALTER FUNCTION ensure_delivery_partitions(integer) SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION ensure_delivery_partitions(integer) FROM PUBLIC;

-- Drops one day of deliveries that ended before the cutoff, and never one that ended within the last day; returns how many of it were
-- undecided and moved to the default partition. What goes stays in the archive, with what nobody counted when it came in.
CREATE FUNCTION drop_delivery_day(day text, cutoff timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    kept bigint;
BEGIN
    IF day !~ '^deliveries_[0-9]{8}$' OR NOT EXISTS (
        SELECT FROM pg_inherits WHERE inhparent = 'deliveries'::regclass AND inhrelid = to_regclass(day)
    ) THEN
        RAISE EXCEPTION '% is no day of deliveries', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_date(right(day, 8), 'YYYYMMDD') + 1 > (least(cutoff, now() - interval '1 day') AT TIME ZONE 'UTC') THEN
        RAISE EXCEPTION '% is too young to be dropped', day USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('lock_timeout', '3s', true); -- the recorder is held up no longer than that
    -- Late records of this very day wait; all others go on until the day is detached.
    EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', day);
    EXECUTE format(
        'CREATE TEMPORARY TABLE kept_deliveries ON COMMIT DROP AS SELECT d.* FROM %I AS d WHERE delivery_undecided(d::deliveries, %L)',
        day, cutoff
    );
    EXECUTE format(
        $archive$
        WITH gone AS (
            SELECT d.* FROM %I AS d
            WHERE NOT EXISTS (SELECT FROM pg_temp.kept_deliveries AS k WHERE k.delivery_id = d.delivery_id)
        )
        INSERT INTO ledger_archive AS a (hour, replica, source, outcome, count)
        SELECT date_trunc('hour', g.received_at), g.replica, g.source, o.outcome, count(*) FROM gone AS g
        CROSS JOIN LATERAL (VALUES (g.outcome), (CASE WHEN uncounted(g.replica, g.received_at) THEN 'received' END)) AS o (outcome)
        WHERE g.outcome IN ('confirmed', 'spooled', 'quarantined') AND o.outcome IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        ON CONFLICT (hour, replica, source, outcome) DO UPDATE SET count = a.count + excluded.count
        $archive$,
        day
    );
    EXECUTE format('ALTER TABLE deliveries DETACH PARTITION %I', day);
    INSERT INTO deliveries SELECT * FROM pg_temp.kept_deliveries;
    GET DIAGNOSTICS kept = ROW_COUNT;
    EXECUTE format('DROP TABLE %I', day);
    DROP TABLE pg_temp.kept_deliveries;
    RETURN kept;
END
$$;
REVOKE EXECUTE ON FUNCTION drop_delivery_day(text, timestamptz) FROM PUBLIC;

-- migrate:down
DROP FUNCTION drop_delivery_day(text, timestamptz);
GRANT EXECUTE ON FUNCTION ensure_delivery_partitions(integer) TO PUBLIC;
ALTER FUNCTION ensure_delivery_partitions(integer) SECURITY INVOKER RESET search_path;
