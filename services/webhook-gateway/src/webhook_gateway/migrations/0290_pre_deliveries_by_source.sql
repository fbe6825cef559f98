-- migrate:up
-- The hooks of a source, of a kind of event, and those that were refused or set aside for a reason, however rare they are. The first also
-- carries the ledger: what became of a day's hooks is counted in it, without their bodies.
CREATE INDEX deliveries_source ON deliveries (source, received_at) INCLUDE (outcome, replica);
CREATE INDEX deliveries_event ON deliveries (event, received_at);
CREATE INDEX deliveries_reason ON deliveries (received_at) WHERE reason IS NOT NULL;

-- migrate:down
DROP INDEX deliveries_reason, deliveries_event, deliveries_source;
