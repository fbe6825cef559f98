-- migrate:up
-- Refunds that people closed: how they settled them, and whether what they were for may be asked for again.
ALTER TABLE order_refund
    ADD COLUMN settled text,
    ADD COLUMN released boolean NOT NULL DEFAULT false;

-- migrate:down
ALTER TABLE order_refund DROP COLUMN released, DROP COLUMN settled;
