-- migrate:up
-- What of a refund's sum are tips: they are no part of the order's cost.
ALTER TABLE refund_request ADD COLUMN tips bigint NOT NULL DEFAULT 0 CHECK (tips >= 0);

-- migrate:down
ALTER TABLE refund_request DROP COLUMN tips;
