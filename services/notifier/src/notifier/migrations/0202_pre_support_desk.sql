-- migrate:up
-- Tickets are assigned, their on-call person is summoned, development tickets are made of them; known defects are said by themselves.

ALTER TABLE tickets
    ADD COLUMN assignee   text,
    ADD COLUMN summons_id bigint REFERENCES incidents ON DELETE SET NULL,    -- the incident by which the on-call person was summoned last
    ADD COLUMN develops   bigint REFERENCES tickets ON DELETE SET NULL;      -- of a development ticket: the ticket that it was made of
CREATE INDEX tickets_summons ON tickets (summons_id) WHERE summons_id IS NOT NULL;
CREATE INDEX tickets_develops ON tickets (develops) WHERE develops IS NOT NULL;
CREATE INDEX tickets_development ON tickets (development_ticket) WHERE development_ticket IS NOT NULL;

ALTER TABLE ticket_comments ADD COLUMN assign text;     -- the login to which the outside tracker is to assign the ticket; '' is nobody

CREATE TABLE ticket_links (
    ticket_id bigint NOT NULL REFERENCES tickets ON DELETE CASCADE,
    other     text NOT NULL,
    linked_by text NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ticket_id, other)
);
CREATE INDEX ticket_links_other ON ticket_links (other);

-- A problem that fits `match` (as in routes) and whose error reads like `cause` has this cause. Without a key yet: not said.
CREATE TABLE known_defects (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    match              jsonb NOT NULL,
    cause              text,
    development_ticket text,
    ticket_id          bigint REFERENCES tickets ON DELETE SET NULL,
    reason             text NOT NULL,
    created_by         text NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    ended_at           timestamptz,
    ended_by           text
);
CREATE INDEX known_defects_live ON known_defects (id) WHERE ended_at IS NULL;

INSERT INTO instructions (kind, text, call) VALUES
    ('problem.ticket.summons', 'Дежурного зовут в обращение. Ответьте в обращении; если дежурный не отвечает, позвоните ему.', true)
ON CONFLICT (kind) DO NOTHING;

-- migrate:down
DELETE FROM instructions WHERE kind = 'problem.ticket.summons' AND updated_by = 'release';
DROP TABLE known_defects, ticket_links;
ALTER TABLE ticket_comments DROP COLUMN assign;
ALTER TABLE tickets DROP COLUMN develops, DROP COLUMN summons_id, DROP COLUMN assignee;
