-- migrate:up
-- For retention: evidence and differences by age.
CREATE INDEX gateway_calls_at ON gateway_calls USING brin (at);
CREATE INDEX refund_differences_over ON refund_differences (over_at) WHERE over_at IS NOT NULL;

-- migrate:down
DROP INDEX refund_differences_over, gateway_calls_at;
