-- migrate:up
-- Messages that stand in chats and are edited, digests of a storm, and failing over to another channel.

-- `dropped` is an end too: nobody was told, and `reason` says why (superseded, told elsewhere).
ALTER TABLE deliveries DROP CONSTRAINT deliveries_state_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_state_check
    CHECK (state IN ('pending', 'sending', 'sent', 'failed', 'unknown', 'dropped')) NOT VALID;
ALTER TABLE deliveries VALIDATE CONSTRAINT deliveries_state_check;
ALTER TABLE deliveries
    ADD COLUMN page_group     text,                -- critical problems of one group page once in a storm
    ADD COLUMN digest_id      bigint,              -- told in this digest; `sending` without a lease until the digest shows it
    ADD COLUMN digest_turn    bigint,              -- the digest's `wanted` when it took this
    ADD COLUMN shrink         smallint NOT NULL DEFAULT 0, -- how often it was too long for the provider
    ADD COLUMN fallback_of    bigint,              -- the delivery that this one stands in for
    ADD COLUMN failed_over_at timestamptz;
CREATE INDEX deliveries_problems ON deliveries (lane, id) WHERE state IN ('pending', 'unknown') AND subject LIKE 'incident:%';
CREATE INDEX deliveries_digest ON deliveries (digest_id) WHERE digest_id IS NOT NULL;
CREATE INDEX deliveries_urgent ON deliveries (lane, not_before) WHERE state IN ('pending', 'unknown') AND priority <= 1;
CREATE INDEX deliveries_pages ON deliveries (lane, created_at) WHERE priority <= 1 AND digest_id IS NULL;
-- Until then only what is urgent goes: the places that are left are kept for it.
ALTER TABLE lanes ADD COLUMN urgent_only_until timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX deliveries_to_fail_over ON deliveries (created_at)
    WHERE failed_over_at IS NULL AND subject LIKE 'incident:%' AND state IN ('pending', 'unknown', 'sending', 'failed');

-- One row a message with problems in it. `wanted` > `shown`: it no longer says what is true. No `message_id`: it is gone and posted anew.
CREATE TABLE posts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane       text NOT NULL,
    place      text,                               -- where the provider says it lies, when edits must name that (Slack)
    topic      bigint,
    message_id text,
    wanted     bigint NOT NULL DEFAULT 0,
    shown      bigint NOT NULL DEFAULT 0,
    priority   smallint NOT NULL DEFAULT 4,
    not_before timestamptz NOT NULL DEFAULT now(),
    attempts   integer NOT NULL DEFAULT 0,
    possibly_repeated boolean NOT NULL DEFAULT false, -- while it is posted anew, until the outcome is known
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX posts_stale ON posts (lane, priority, id) WHERE wanted > shown;

-- Pages `first` (from 0) up to `past` (excluded) of a delivery stand in a message.
CREATE TABLE post_parts (
    post_id     bigint NOT NULL REFERENCES posts ON DELETE CASCADE,
    position    integer NOT NULL,
    delivery_id bigint NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    first       integer NOT NULL,
    past        integer NOT NULL,
    PRIMARY KEY (post_id, position)
);
CREATE INDEX post_parts_delivery ON post_parts (delivery_id);

-- One self-editing message a lane and topic while more problems wait there than anybody can read.
CREATE TABLE digests (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane              text NOT NULL,
    topic             bigint,
    place             text,
    message_id        text,
    possibly_repeated boolean NOT NULL DEFAULT false, -- as in posts
    paged             text[] NOT NULL DEFAULT '{}', -- groups that have paged in this storm
    wanted            bigint NOT NULL DEFAULT 0,
    shown             bigint NOT NULL DEFAULT 0,
    not_before        timestamptz NOT NULL DEFAULT now(),
    attempts          integer NOT NULL DEFAULT 0,
    opened_at         timestamptz NOT NULL DEFAULT now(),
    fed_at            timestamptz NOT NULL DEFAULT now(),
    closing           boolean NOT NULL DEFAULT false,
    closed_at         timestamptz
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX digests_open ON digests (lane, coalesce(topic, 0)) WHERE closed_at IS NULL AND NOT closing;
CREATE INDEX digests_live ON digests (lane) WHERE closed_at IS NULL;

-- migrate:down
DROP TABLE digests, post_parts, posts;
ALTER TABLE lanes DROP COLUMN urgent_only_until;
DROP INDEX deliveries_to_fail_over, deliveries_pages, deliveries_urgent, deliveries_digest, deliveries_problems;
ALTER TABLE deliveries DROP COLUMN failed_over_at, DROP COLUMN fallback_of, DROP COLUMN shrink, DROP COLUMN digest_turn, DROP COLUMN digest_id, DROP COLUMN page_group;
UPDATE deliveries SET state = 'failed' WHERE state = 'dropped';
ALTER TABLE deliveries DROP CONSTRAINT deliveries_state_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_state_check CHECK (state IN ('pending', 'sending', 'sent', 'failed', 'unknown'));
