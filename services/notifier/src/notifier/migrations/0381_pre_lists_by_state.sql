-- migrate:up
-- Incidents that are not over, and messages that did not arrive or went to nobody, are few among very many. Not concurrently, as in 0370.
CREATE INDEX incidents_not_over ON incidents (id) WHERE state <> 'resolved';
CREATE INDEX deliveries_in_vain ON deliveries (state, notice_id) WHERE state IN ('failed', 'dropped');
CREATE INDEX notices_to_nobody ON notices (id) WHERE reason IS NOT NULL;

-- migrate:down
DROP INDEX notices_to_nobody, deliveries_in_vain, incidents_not_over;
