-- migrate:up
-- Of how many new orders a chat was told is asked for each day of a week at once. Not concurrently, as in 0370.
CREATE INDEX notices_of_new_orders ON notices (id) WHERE kind = 'order.created';

-- migrate:down
DROP INDEX notices_of_new_orders;
