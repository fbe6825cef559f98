-- migrate:up
-- A countdown by the number of its order, which is all that people and links name.
CREATE INDEX countdowns_number ON countdowns (number);

-- migrate:down
DROP INDEX countdowns_number;
