-- migrate:up
-- What people sent again or entered: who and why; when a replay's origin came in, and which event it says again word for word.
ALTER TABLE deliveries
    ADD COLUMN occurred_at timestamptz,
    ADD COLUMN repeats text,
    ADD COLUMN actor text,
    ADD COLUMN why text;
-- Not validated: all rows satisfied the narrower one, and looking at them would hold up the recorder.
ALTER TABLE deliveries
    DROP CONSTRAINT deliveries_outcome_check,
    ADD CONSTRAINT deliveries_outcome_check
        CHECK (outcome IN ('confirmed', 'spooled', 'quarantined', 'refused', 'replayed', 'entered')) NOT VALID;

-- migrate:down
UPDATE deliveries SET outcome = 'replayed' WHERE outcome = 'entered';
ALTER TABLE deliveries
    DROP CONSTRAINT deliveries_outcome_check,
    ADD CONSTRAINT deliveries_outcome_check
        CHECK (outcome IN ('confirmed', 'spooled', 'quarantined', 'refused', 'replayed'));
ALTER TABLE deliveries DROP COLUMN occurred_at, DROP COLUMN repeats, DROP COLUMN actor, DROP COLUMN why;
