-- migrate:up transaction:false
-- Names are common: those who have one are met by walking back from the newest order. With the name in it, an index alone answers.
CREATE INDEX CONCURRENTLY order_contact_newest ON order_contact (created_at, number) INCLUDE (name);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS order_contact_newest;
