-- migrate:up
-- The people as an admin put them (no tokens: those are in the people file only). They hold while the people file is as it then was.

CREATE TABLE people_directory (
    id         smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    document   jsonb NOT NULL,
    over_file  text NOT NULL,               -- the digest of the people file that it stands over; '' is no file
    version    bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL
);

-- migrate:down
DROP TABLE people_directory;
