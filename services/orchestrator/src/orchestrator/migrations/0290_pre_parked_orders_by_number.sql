-- migrate:up
-- One parked order is found by its number, and the list of them reads only the rows that it shows.
CREATE INDEX parked_order_number ON parked_order (order_number);
CREATE INDEX parked_order_since ON parked_order (since, order_number);

-- migrate:down
DROP INDEX parked_order_since, parked_order_number;
