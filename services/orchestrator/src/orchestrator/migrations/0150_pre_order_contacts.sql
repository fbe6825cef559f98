-- migrate:up
-- Whom orders are for, as people look for them: one row for each different contact that an order's events named.

-- Beside `orders`, not in it: written when a contact is new, so that the order's own row stays narrow and its updates heap-only.
-- `created_at` is the order's: the newest are found first.
CREATE TABLE order_contact (
    number     text NOT NULL,
    digest     bytea NOT NULL,            -- of the contact: the same one is one row
    created_at timestamptz NOT NULL,
    name       text,                      -- words in lower case, each with a blank before it
    phone      text,                      -- digits
    email      text,                      -- in lower case
    grams      text[] NOT NULL,           -- three letters each, of every word of the name: any part of a word is found by them
    PRIMARY KEY (number, digest)
);
-- By its end: the last digits are what people say, and what every spelling of a number has in common.
CREATE INDEX order_contact_phone ON order_contact (reverse(phone) text_pattern_ops) WHERE phone IS NOT NULL;
CREATE INDEX order_contact_email ON order_contact (email text_pattern_ops) WHERE email IS NOT NULL;
CREATE INDEX order_contact_name ON order_contact USING gin (grams);
CREATE INDEX order_contact_created ON order_contact (created_at, number);

-- migrate:down
DROP TABLE order_contact;
