-- migrate:up
-- Endangered orders are found by any part of the customer's name and by the end of a phone, without reading all of them. The name
-- stands in the row as it is; the index holds what is found by, and goes with the name.
CREATE FUNCTION text_parts(said text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(DISTINCT substr(said, start, size))
    FROM generate_series(1, length(said)) AS start, generate_series(1, 3) AS size WHERE start + size <= length(said) + 1
$$;
CREATE INDEX endangered_orders_name ON endangered_orders USING gin (text_parts(lower(customer ->> 'name')));
CREATE INDEX endangered_orders_phone_end ON endangered_orders (reverse(phone) text_pattern_ops) WHERE phone IS NOT NULL;

-- migrate:down
DROP INDEX endangered_orders_phone_end, endangered_orders_name;
DROP FUNCTION text_parts(text);
