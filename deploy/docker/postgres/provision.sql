-- Roles and databases: each service's database has an owner, who migrates it, and a role `…_runtime` that the service runs as, to which the
-- migration job gives its rights; `tips` gets a role that may connect to the orders database, where the orchestrator's migrations give it
-- what it may see (they name the role, so it has to exist first). Safe to run again: what exists
-- stays, passwords become the present ones. The same as suite_local's provisioning. Passwords come by the environment, never by the
-- command line.

\getenv webhook_gateway_password WEBHOOK_GATEWAY_DATABASE_PASSWORD
\getenv orchestrator_password ORCHESTRATOR_DATABASE_PASSWORD
\getenv webhook_gateway_runtime_password WEBHOOK_GATEWAY_RUNTIME_DATABASE_PASSWORD
\getenv orchestrator_runtime_password ORCHESTRATOR_RUNTIME_DATABASE_PASSWORD
\getenv refunds_runtime_password REFUNDS_RUNTIME_DATABASE_PASSWORD
\getenv notifier_runtime_password NOTIFIER_RUNTIME_DATABASE_PASSWORD
\getenv tips_password TIPS_DATABASE_PASSWORD
\getenv refunds_password REFUNDS_DATABASE_PASSWORD
\getenv notifier_password NOTIFIER_DATABASE_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY[
    'webhook_gateway', 'orchestrator', 'tips', 'refunds', 'notifier',
    'webhook_gateway_runtime', 'orchestrator_runtime', 'refunds_runtime', 'notifier_runtime'
]) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

ALTER ROLE webhook_gateway PASSWORD :'webhook_gateway_password';
ALTER ROLE orchestrator PASSWORD :'orchestrator_password';
ALTER ROLE tips PASSWORD :'tips_password';
ALTER ROLE refunds PASSWORD :'refunds_password';
ALTER ROLE notifier PASSWORD :'notifier_password';
ALTER ROLE webhook_gateway_runtime PASSWORD :'webhook_gateway_runtime_password';
ALTER ROLE orchestrator_runtime PASSWORD :'orchestrator_runtime_password';
ALTER ROLE refunds_runtime PASSWORD :'refunds_runtime_password';
ALTER ROLE notifier_runtime PASSWORD :'notifier_runtime_password';

SELECT format('CREATE DATABASE %I OWNER %I', database, owner)
FROM (VALUES ('webhook_gateway', 'webhook_gateway'), ('orders', 'orchestrator'), ('refunds', 'refunds'), ('notifier', 'notifier'))
    AS wanted (database, owner)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = database)
\gexec

REVOKE ALL ON DATABASE webhook_gateway, orders, refunds, notifier FROM PUBLIC;
GRANT CONNECT ON DATABASE orders TO tips;
-- It watches for snapshots that anybody holds; without this it sees its own sessions alone.
GRANT pg_read_all_stats TO orchestrator, orchestrator_runtime;
