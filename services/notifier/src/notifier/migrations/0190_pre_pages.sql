-- migrate:up
-- Pages find incidents by what they are about: the path that a problem links to, and the refund.
CREATE INDEX incidents_link ON incidents (link) WHERE link LIKE '/%';
CREATE INDEX incidents_refund ON incidents ((details ->> 'refund_id')) WHERE details ? 'refund_id';

-- migrate:down
DROP INDEX incidents_refund;
DROP INDEX incidents_link;
