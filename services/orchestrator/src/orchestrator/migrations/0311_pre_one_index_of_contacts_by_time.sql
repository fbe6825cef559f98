-- migrate:up transaction:false
-- order_contact_newest holds the same columns in the same order.
DROP INDEX CONCURRENTLY IF EXISTS order_contact_created;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY order_contact_created ON order_contact (created_at, number);
