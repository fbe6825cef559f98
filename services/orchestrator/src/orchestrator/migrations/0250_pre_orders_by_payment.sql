-- migrate:up transaction:false
-- People find an order by its payment. Beside the traffic, not in its way.
CREATE INDEX CONCURRENTLY orders_payment ON orders (payment_id) WHERE payment_id IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY orders_payment;
