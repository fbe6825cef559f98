-- migrate:up
-- Why a person started a recipe, in her words: it stands in the audit of the service that carries it out. Buttons of chats say nothing.

ALTER TABLE recipe_requests ADD COLUMN reason text;

-- migrate:down
ALTER TABLE recipe_requests DROP COLUMN reason;
