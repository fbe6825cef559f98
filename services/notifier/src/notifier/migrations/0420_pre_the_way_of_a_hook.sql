-- migrate:up
-- When the gateway first took the hook that an order's notice tells of, and, of one that was long on its way, when the orchestrator had it
-- and by which way. The release before leaves them empty, and so does every notice of anything else.
ALTER TABLE notices ADD COLUMN received_at timestamptz, ADD COLUMN taken_at timestamptz, ADD COLUMN came_by text;

-- migrate:down
ALTER TABLE notices DROP COLUMN received_at, DROP COLUMN taken_at, DROP COLUMN came_by;
