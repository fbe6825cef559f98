-- migrate:up
-- What comparing the tips service with the own rules came to: one row an order, counted in the transaction of its iteration.
CREATE TABLE tips_shadow (
    number         text PRIMARY KEY,
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,
    compared       bigint NOT NULL,         -- comparisons of this order, all of them
    differed       bigint NOT NULL,
    failed         bigint NOT NULL,         -- the service or the feedback did not answer
    differed_at    timestamptz,             -- the last difference, and both sides of it
    decision       text CHECK (decision IN ('tips', 'hold')),
    rule           text,                    -- of the service: what decided
    own_amount     bigint,
    service_amount bigint,
    own_hold       boolean,
    service_hold   boolean,
    CHECK (compared >= differed + failed)
);
CREATE INDEX tips_shadow_last ON tips_shadow (last_at) INCLUDE (compared, differed, failed);
CREATE INDEX tips_shadow_first ON tips_shadow (first_at);
CREATE INDEX tips_shadow_differed ON tips_shadow (differed_at) WHERE differed > 0;

-- migrate:down
DROP TABLE tips_shadow;
