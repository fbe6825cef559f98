-- migrate:up
-- A digest of the number that a call was asked for: whoever has another number by now was not reached, and the next call has a key of its own.
ALTER TABLE calls ADD COLUMN number text;

-- migrate:down
ALTER TABLE calls DROP COLUMN number;
