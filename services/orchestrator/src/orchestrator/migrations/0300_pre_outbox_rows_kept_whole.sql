-- migrate:up
-- A row of the outbox lives some milliseconds. Above two thousand bytes PostgreSQL compresses a body, or takes it apart, and puts it
-- together again for the relay: with this, only above eight thousand.
ALTER TABLE outbox SET (toast_tuple_target = 8160);

-- migrate:down
ALTER TABLE outbox RESET (toast_tuple_target);
