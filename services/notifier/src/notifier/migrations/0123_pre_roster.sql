-- migrate:up
-- The duty roster: the plan, what stands over it, and each handover once.

CREATE TABLE roster (
    id         smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    plan       jsonb NOT NULL,
    version    bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL
);

CREATE TABLE roster_overrides (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    place      text NOT NULL CHECK (place IN ('on_duty', 'backup')),
    person     text,                        -- null: nobody, on purpose
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL CHECK (ends_at > starts_at),
    reason     text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX roster_overrides_end ON roster_overrides (ends_at);

-- One row a shift that was announced. `due_at`: when an unconfirmed one goes back to the previous person.
CREATE TABLE handovers (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    person       text NOT NULL,
    previous     text,
    announced_at timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz,
    confirmed_at timestamptz,
    confirmed_by text,
    escalated_at timestamptz,
    UNIQUE (starts_at, person)
);
CREATE INDEX handovers_due ON handovers (due_at) WHERE due_at IS NOT NULL;

-- migrate:down
DROP TABLE handovers, roster_overrides, roster;
