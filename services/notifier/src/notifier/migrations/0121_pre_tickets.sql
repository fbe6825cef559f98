-- migrate:up
-- Tickets: the built-in tracker, and the way to an outside one. One ticket an incident; `incident_id` is unique.

CREATE TABLE ticket_queues (
    queue text PRIMARY KEY,
    last  bigint NOT NULL
);

CREATE TABLE tickets (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key                text,                -- QUEUE-1; null until the outside tracker has given it
    queue              text NOT NULL,
    incident_id        bigint UNIQUE REFERENCES incidents ON DELETE SET NULL,
    order_number       text,
    kind               text NOT NULL,
    summary            text NOT NULL,
    description        text NOT NULL,
    state              text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
    development_ticket text,
    created_by         text NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    closed_at          timestamptz,
    -- Towards the outside tracker; all built-in tickets are 'kept'.
    outside            text NOT NULL CHECK (outside IN ('kept', 'pending', 'creating', 'created')),
    attempts           integer NOT NULL DEFAULT 0,
    not_before         timestamptz NOT NULL DEFAULT now(),
    lease_until        timestamptz,
    reason             text,
    seen_comment       bigint NOT NULL DEFAULT 0,   -- the outside tracker's comments are read up to this one
    read_at            timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX tickets_key ON tickets (key);
CREATE INDEX tickets_order ON tickets (order_number) WHERE order_number IS NOT NULL;
CREATE INDEX tickets_to_create ON tickets (not_before) WHERE outside IN ('pending', 'creating');
CREATE INDEX tickets_to_read ON tickets (read_at) WHERE outside = 'created' AND state = 'open';

CREATE TABLE ticket_comments (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id   bigint NOT NULL REFERENCES tickets ON DELETE CASCADE,
    history_id  bigint UNIQUE,              -- the line of the incident's history that it tells
    author      text NOT NULL,
    text        text NOT NULL,
    summon      text[] NOT NULL DEFAULT '{}',
    link        text,                       -- a development ticket that the outside tracker is to link
    at          timestamptz NOT NULL DEFAULT now(),
    outside     text NOT NULL CHECK (outside IN ('kept', 'pending', 'sending', 'sent', 'read', 'failed')),
    outside_id  text,
    attempts    integer NOT NULL DEFAULT 0,
    not_before  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    UNIQUE (ticket_id, outside_id)
);
CREATE INDEX ticket_comments_ticket ON ticket_comments (ticket_id, id);
CREATE INDEX ticket_comments_to_send ON ticket_comments (not_before) WHERE outside IN ('pending', 'sending');

-- What operators are to do, by kind of problem (patterns as in routes: problem.*). No row, or `call`: phone the person on duty.
CREATE TABLE instructions (
    kind       text PRIMARY KEY,
    text       text NOT NULL,
    call       boolean NOT NULL DEFAULT false,
    queue      text,
    version    bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL DEFAULT 'release'
);
INSERT INTO instructions (kind, text, call) VALUES
    ('workflow.crashed', 'Клиенту пока ничего не сообщать. Проверьте историю заказа: если заказ собран и передан, звонить не нужно, дежурный повторит шаг. Если клиент ждёт подтверждения, позвоните дежурному.', true),
    ('problem.refund.error', 'Деньги клиенту ещё не возвращены, дежурный перезапустит возврат. Если клиент обратился сам: сообщите, что возврат будет выполнен, срок зависит от банка. Второй возврат не заводить.', false),
    ('problem.refund.reversed', 'Платёжная система отменила выполненный возврат. Сообщите клиенту, что возврат будет повторён, и позвоните дежурному.', true),
    ('refund.rejected', 'Возврат невозможен, причина указана ниже. Позвоните дежурному, если клиент уже ждёт деньги.', true),
    ('problem.order_never_created', 'Маркетплейс прислал события заказа, которого у магазина нет. Позвоните дежурному: заказ могут не собрать.', true),
    ('problem.order_conflict', 'Маркетплейс изменил заказ после закрытия. Свяжитесь с магазином, сверьте состав с указанным ниже и сообщите магазину, чего не хватает.', false);

-- migrate:down
DROP TABLE instructions, ticket_comments, tickets, ticket_queues;
