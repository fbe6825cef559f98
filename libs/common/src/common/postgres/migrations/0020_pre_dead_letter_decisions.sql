-- migrate:up
-- What people decided about a dead letter. `replayed_at` and `replayed_by` say when and by whom it was decided, whatever the decision: the
-- release before leaves a decided one alone. `decision` is null for what that release has replayed. `mended` is the message that was sent
-- instead of `body`.
ALTER TABLE dead_letters
    ADD COLUMN decision text CHECK (decision IN ('replayed', 'mended', 'dismissed')),
    ADD COLUMN mended bytea,
    ADD COLUMN erased_at timestamptz;
CREATE INDEX dead_letters_open_group ON dead_letters (queue, handler, reason) WHERE replayed_at IS NULL;
CREATE INDEX dead_letters_decided ON dead_letters (replayed_at) WHERE replayed_at IS NOT NULL;
CREATE INDEX dead_letters_subject ON dead_letters (subject) WHERE subject IS NOT NULL;

-- migrate:down
DROP INDEX dead_letters_subject, dead_letters_decided, dead_letters_open_group;
ALTER TABLE dead_letters DROP COLUMN erased_at, DROP COLUMN mended, DROP COLUMN decision;
