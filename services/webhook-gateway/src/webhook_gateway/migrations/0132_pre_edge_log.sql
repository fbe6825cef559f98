-- migrate:up
-- How far each file of the edge's log has been read. A file is known by its first line, so that a renamed one is the same and one that
-- came after it is not. Written in the transaction that records what was read: nothing twice, nothing lost.
CREATE TABLE edge_log_files (
    first_line bytea PRIMARY KEY, -- SHA-256
    position   bigint NOT NULL,
    read_at    timestamptz NOT NULL DEFAULT now()
);

-- migrate:down
DROP TABLE edge_log_files;
