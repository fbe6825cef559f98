-- migrate:up
-- A revision is a change that somebody made: forgetting what is over, and a statement that meets no row, are none.
DROP TRIGGER roster_overrides_changed ON roster_overrides;
CREATE TRIGGER roster_overrides_changed AFTER INSERT OR UPDATE ON roster_overrides
    FOR EACH ROW EXECUTE FUNCTION roster_changed();
CREATE TRIGGER roster_overrides_taken_back AFTER DELETE ON roster_overrides
    FOR EACH ROW WHEN (OLD.ends_at > clock_timestamp()) EXECUTE FUNCTION roster_changed();

-- migrate:down
DROP TRIGGER roster_overrides_taken_back ON roster_overrides;
DROP TRIGGER roster_overrides_changed ON roster_overrides;
CREATE TRIGGER roster_overrides_changed AFTER INSERT OR UPDATE OR DELETE ON roster_overrides
    FOR EACH STATEMENT EXECUTE FUNCTION roster_changed();
