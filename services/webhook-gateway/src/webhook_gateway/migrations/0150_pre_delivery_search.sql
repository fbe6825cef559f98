-- migrate:up
-- How a delivery is found by its customer: 64-bit keyed digests of phone, mail and the words of the name, no text. Null: not looked at yet
-- (recorded by the release before); a job fills it in. `erased_at`: a customer's data in it were blanked.
ALTER TABLE deliveries ADD COLUMN people bigint[], ADD COLUMN erased_at timestamptz;
CREATE INDEX deliveries_people ON deliveries USING gin (people);
CREATE INDEX deliveries_people_missing ON deliveries (received_at) WHERE people IS NULL;

-- Every replay that a person asked for, written when it is asked for: the delivery that it becomes is recorded later.
CREATE TABLE delivery_replays (
    replay_id   uuid PRIMARY KEY,
    delivery_id uuid NOT NULL,
    replayed_at timestamptz NOT NULL DEFAULT now(),
    actor       text NOT NULL,
    mended      boolean NOT NULL
);
CREATE INDEX delivery_replays_of ON delivery_replays (delivery_id);
INSERT INTO delivery_replays (replay_id, delivery_id, replayed_at, actor, mended)
SELECT DISTINCT ON (delivery_id) delivery_id, replay_of, received_at, 'release', false FROM deliveries
WHERE replay_of IS NOT NULL;

-- Sizes of tables by the day, for their growth.
CREATE TABLE table_size (
    day   date NOT NULL,
    name  text NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (day, name)
);

-- migrate:down
DROP TABLE table_size, delivery_replays;
DROP INDEX deliveries_people_missing, deliveries_people;
ALTER TABLE deliveries DROP COLUMN erased_at, DROP COLUMN people;
