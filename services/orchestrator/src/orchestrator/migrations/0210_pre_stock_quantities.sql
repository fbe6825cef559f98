-- migrate:up
-- Every position of an order may hold as much as a quantity can be, and one store's entry is their sum.
ALTER TABLE stock_movements ALTER COLUMN quantity TYPE numeric(38, 6);

-- migrate:down
