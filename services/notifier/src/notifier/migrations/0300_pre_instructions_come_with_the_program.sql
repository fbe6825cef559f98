-- migrate:up
-- The proposal to automate what people repeat has its instruction and its queue in the program, in both languages, as every other kind.
DELETE FROM instructions WHERE updated_by = 'release';

-- migrate:down
INSERT INTO instructions (kind, text, call, queue) VALUES
    ('problem.acts.repeated', 'Люди повторяют это действие по одной причине. Решите, как его автоматизировать, или устраните причину.', false, 'TRAVELBACK')
ON CONFLICT (kind) DO NOTHING;
