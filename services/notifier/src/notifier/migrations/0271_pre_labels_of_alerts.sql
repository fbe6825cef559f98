-- migrate:up
-- By what an end is matched whose labels are not those of its alert: the sender's own fingerprint, and a digest of each label.
ALTER TABLE incidents ADD COLUMN alert_bare text, ADD COLUMN alert_labels text[];

-- migrate:down
ALTER TABLE incidents DROP COLUMN alert_labels, DROP COLUMN alert_bare;
