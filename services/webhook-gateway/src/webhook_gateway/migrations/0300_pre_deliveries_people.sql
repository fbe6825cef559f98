-- migrate:up transaction:false
-- Deliveries are found by the digests of their customer. Beside the traffic, not in its way.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_people ON deliveries USING gin (people);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY deliveries_people;
