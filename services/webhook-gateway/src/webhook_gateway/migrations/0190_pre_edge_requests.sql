-- migrate:up transaction:false
-- A website order by nginx's own name of its request: what nginx gave up, and a gateway recorded later, is found by it. Beside the
-- traffic, not in its way.
CREATE INDEX CONCURRENTLY deliveries_edge_request ON deliveries ((headers ->> 'x-edge-request'), received_at)
    WHERE event = 'order.created' AND body_form = 'payload' AND headers ->> 'x-edge-request' IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY deliveries_edge_request;
