-- migrate:up
-- Sizes of tables by the day, for their growth.
CREATE TABLE table_size (
    day   date NOT NULL,
    name  text NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (day, name)
);

-- migrate:down
DROP TABLE table_size;
