-- migrate:up
-- What is proposed for automation goes to the developers.

INSERT INTO instructions (kind, text, call, queue) VALUES
    ('problem.acts.repeated', 'Люди повторяют это действие по одной причине. Решите, как его автоматизировать, или устраните причину.', false, 'TRAVELBACK')
ON CONFLICT (kind) DO NOTHING;

-- migrate:down
DELETE FROM instructions WHERE kind = 'problem.acts.repeated' AND updated_by = 'release';
