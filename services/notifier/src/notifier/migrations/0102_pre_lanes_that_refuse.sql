-- migrate:up
-- Whether a lane's chat takes nothing at present; the first message it takes again ends the problem that on-call people were told of.
ALTER TABLE lanes ADD COLUMN refused boolean NOT NULL DEFAULT false;

-- migrate:down
ALTER TABLE lanes DROP COLUMN refused;
