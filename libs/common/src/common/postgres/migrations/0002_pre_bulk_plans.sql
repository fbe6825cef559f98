-- migrate:up
-- What previews of bulk changes have promised: exactly these items, in these versions. Written after the preview was rolled back,
-- locked while it is carried out; the answer stays, so that a plan is carried out once.
CREATE TABLE bulk_plans (
    plan       text PRIMARY KEY,
    operation  text NOT NULL,
    selection  jsonb NOT NULL,
    items      jsonb NOT NULL,
    matched    integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    applied_at timestamptz,
    answer     jsonb
);
CREATE INDEX bulk_plans_expires_at ON bulk_plans (expires_at);

-- migrate:down
DROP TABLE bulk_plans;
