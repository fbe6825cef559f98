-- migrate:up
-- A line of the history stays what it is. Only the words that a person wrote in it go when their customer is erased.
CREATE OR REPLACE FUNCTION refund_history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.detail = '[masked]' AND to_jsonb(NEW) - 'detail' = to_jsonb(OLD) - 'detail' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'refund_history is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- migrate:down
CREATE OR REPLACE FUNCTION refund_history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refund_history is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
