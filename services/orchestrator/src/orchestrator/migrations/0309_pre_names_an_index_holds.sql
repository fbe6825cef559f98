-- migrate:up
-- The next migration's index holds a name whole, and refuses one of more than 2,704 bytes. Names that long are cut before they are kept,
-- but for those that were kept before that: any part of the beginning still finds them.
UPDATE order_contact SET name = left(name, 500) WHERE octet_length(name) > 2000;

-- migrate:down
