-- migrate:up
-- A number that grows with every change of the roster, for calendars that follow it; handovers whose shift is gone.

CREATE TABLE roster_revision (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision   bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO roster_revision (revision) VALUES (1);

-- Whoever changes the roster, this release or the one before.
CREATE FUNCTION roster_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE roster_revision SET revision = revision + 1, changed_at = clock_timestamp();
    RETURN NULL;
END
$$;
CREATE TRIGGER roster_changed AFTER INSERT OR UPDATE OR DELETE ON roster
    FOR EACH STATEMENT EXECUTE FUNCTION roster_changed();
CREATE TRIGGER roster_overrides_changed AFTER INSERT OR UPDATE OR DELETE ON roster_overrides
    FOR EACH STATEMENT EXECUTE FUNCTION roster_changed();

ALTER TABLE handovers ADD COLUMN ended_at timestamptz;  -- its shift is gone: nobody is waited for

-- migrate:down
ALTER TABLE handovers DROP COLUMN ended_at;
DROP TRIGGER roster_overrides_changed ON roster_overrides;
DROP TRIGGER roster_changed ON roster;
DROP FUNCTION roster_changed();
DROP TABLE roster_revision;
