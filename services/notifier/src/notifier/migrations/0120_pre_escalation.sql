-- migrate:up
-- Acknowledgements that end, durable timers of escalation, phone calls, and what is still to be told of an incident's history.

ALTER TABLE incidents
    ADD COLUMN ack_until timestamptz,       -- when an acknowledgement ends by itself
    ADD COLUMN followed_up_kind text;       -- the kind for which a ticket was decided on; null: not yet
-- What was there before this release is not followed up in hindsight.
UPDATE incidents SET followed_up_kind = kind;
CREATE INDEX incidents_to_follow_up ON incidents (id) WHERE followed_up_kind IS DISTINCT FROM kind;
CREATE INDEX incidents_to_escalate ON incidents (id) WHERE severity = 'critical' AND state <> 'resolved';

-- `told`: ticket, other chats and the order's timeline know of this line. `origin`: where it was said ("ticket:12"), so that it is not echoed.
ALTER TABLE incident_history
    ADD COLUMN told boolean NOT NULL DEFAULT true,
    ADD COLUMN origin text;
ALTER TABLE incident_history ALTER COLUMN told SET DEFAULT false;
CREATE INDEX incident_history_to_tell ON incident_history (id) WHERE NOT told;

-- One timer an incident: the next step of the chain, or the end of an acknowledgement. No `due_at`: the chain is at its end.
CREATE TABLE escalations (
    incident_id bigint PRIMARY KEY REFERENCES incidents ON DELETE CASCADE,
    step        smallint NOT NULL DEFAULT 0,
    round       smallint NOT NULL DEFAULT 0,
    due_at      timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX escalations_due ON escalations (due_at) WHERE due_at IS NOT NULL;

-- Phone calls. Each is claimed under its incident's (or handover's) lock: acknowledged first means never called.
CREATE TABLE calls (
    id          uuid PRIMARY KEY,
    incident_id bigint REFERENCES incidents ON DELETE CASCADE,
    handover_id bigint,                     -- a handover that was not confirmed, instead of an incident
    person      text NOT NULL,
    occasion    text NOT NULL,              -- makes a call unique: round and step of the chain
    state       text NOT NULL DEFAULT 'waiting'
                CHECK (state IN ('waiting', 'calling', 'placed', 'failed', 'needless', 'covered')),
    attempts    integer NOT NULL DEFAULT 0,
    not_before  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    outside_id  text,
    reason      text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    claimed_at  timestamptz,
    ended_at    timestamptz,
    UNIQUE NULLS NOT DISTINCT (incident_id, handover_id, person, occasion)
);
CREATE INDEX calls_unfinished ON calls (not_before) WHERE state IN ('waiting', 'calling');
CREATE INDEX calls_incident ON calls (incident_id) WHERE state = 'calling';
CREATE INDEX calls_person ON calls (person, ended_at);

-- migrate:down
DROP TABLE calls, escalations;
DROP INDEX incident_history_to_tell, incidents_to_escalate, incidents_to_follow_up;
ALTER TABLE incident_history DROP COLUMN told, DROP COLUMN origin;
ALTER TABLE incidents DROP COLUMN ack_until, DROP COLUMN followed_up_kind;
