-- migrate:up
-- A website order by nginx's own name of its request: what nginx gave up, and a gateway recorded later, is found by it.
-- PostgreSQL builds no index of a partitioned table concurrently. While this one is built the recorder waits; hooks and orders are
-- answered meanwhile as always, from RabbitMQ.
CREATE INDEX deliveries_edge_request ON deliveries ((headers ->> 'x-edge-request'), received_at)
    WHERE event = 'order.created' AND body_form = 'payload' AND headers ->> 'x-edge-request' IS NOT NULL;

-- migrate:down
DROP INDEX deliveries_edge_request;
