-- migrate:up
-- "Is anything due in this lane, and when is the next?" is asked after every commit and every message; without this it reads all that waits.
CREATE INDEX deliveries_due ON deliveries (lane, not_before) WHERE state IN ('pending', 'unknown');

-- migrate:down
DROP INDEX deliveries_due;
