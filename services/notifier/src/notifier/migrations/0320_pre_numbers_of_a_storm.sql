-- migrate:up
-- In a storm: the delivery of the list that names this one's order. The release before this one leaves it empty, and tells everything by the digest.
ALTER TABLE deliveries ADD COLUMN listed_in bigint;

-- migrate:down
ALTER TABLE deliveries DROP COLUMN listed_in;
