-- migrate:up transaction:false
-- What the job still has to fill in.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_people_missing ON deliveries (received_at) WHERE people IS NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY deliveries_people_missing;
