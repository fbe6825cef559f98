-- migrate:up
-- How a call went on after the provider took it, as its callbacks say.

ALTER TABLE calls
    ADD COLUMN progress    text,            -- the provider's own word: ringing, in-progress, completed, no-answer, …
    ADD COLUMN progress_at timestamptz;

-- migrate:down
ALTER TABLE calls DROP COLUMN progress_at, DROP COLUMN progress;
