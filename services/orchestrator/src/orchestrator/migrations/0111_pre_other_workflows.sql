-- migrate:up transaction:false
-- Every order has its life; the other kinds are few and are looked for by kind.
CREATE INDEX CONCURRENTLY workflow_other ON workflow (kind, id) WHERE kind <> 'order_life';

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY workflow_other;
