"""The statements of the refunds database."""

from __future__ import annotations

from refunds.refunds.states import RefundState

COLUMNS = """
    id, business_key, order_number, payment_id, amount, currency, reason, state, version, attempt, reserved, tries, declines, error,
    next_attempt_at, created_at, state_since, traceparent
"""
ADD = f"""
INSERT INTO refunds ({COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (business_key) DO NOTHING RETURNING true
"""  # noqa: S608 - the only thing put in is the list of columns above
SAVE = """
UPDATE refunds
   SET state = $4, version = $5, attempt = $6, amount = $7, reserved = $8, tries = $9, declines = $10, error = $11,
       next_attempt_at = $12, state_since = $13
 WHERE id = $1 AND state = $2 AND version = $3
RETURNING true
"""
SELECT = f"SELECT {COLUMNS} FROM refunds"  # noqa: S608 - as above
FIND = f"{SELECT} WHERE id = $1"
BY_KEY = f"{SELECT} WHERE business_key = $1"
WAITING = f"""
{SELECT} WHERE payment_id = $1 AND state = {RefundState.CREATE:d} AND reserved = 0 ORDER BY id FOR NO KEY UPDATE
"""
PAYMENT = (
    "SELECT payment_id, gateway, captured, currency, reserved FROM payments WHERE payment_id = $1 FOR NO KEY UPDATE"
)
ENSURE = "INSERT INTO payments (payment_id, gateway) VALUES ($1, $2) ON CONFLICT DO NOTHING"
CAPTURED = """
UPDATE payments SET captured = $2, currency = $3, captured_at = $4 WHERE payment_id = $1
RETURNING payment_id, gateway, captured, currency, reserved
"""
RECORD = """
INSERT INTO refund_history (refund_id, version, attempt, state_before, state_after, happened, actor, detail, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
HISTORY = """
SELECT version, attempt, state_before, state_after, happened, actor, detail, at
FROM refund_history WHERE refund_id = $1 ORDER BY version
"""
ATTEMPT = """
SELECT refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id
FROM refund_attempts WHERE refund_id = $1 AND attempt = $2
"""
ADD_ATTEMPT = """
INSERT INTO refund_attempts (refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
SENT = """
UPDATE refund_attempts SET sent_at = coalesce(sent_at, $3) WHERE refund_id = $1 AND attempt = $2 RETURNING sent_at
"""
GATEWAY_ID = """
UPDATE refund_attempts SET gateway_refund_id = coalesce(gateway_refund_id, $3)
WHERE refund_id = $1 AND attempt = $2 RETURNING gateway_refund_id
"""
CLAIM = """
WITH due AS (
    SELECT id FROM refunds
    WHERE next_attempt_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
    ORDER BY next_attempt_at LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE refunds AS r SET lease_owner = $3, lease_until = $4 FROM due WHERE r.id = due.id RETURNING r.id
"""
RELEASE = "UPDATE refunds SET lease_owner = NULL, lease_until = NULL WHERE id = $1 AND lease_owner = $2"
ATTEMPTS = """
SELECT refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id
FROM refund_attempts WHERE refund_id = $1 ORDER BY attempt
"""
BY_GATEWAY_ID = """
SELECT refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id
FROM refund_attempts WHERE gateway = $1 AND gateway_refund_id = $2 ORDER BY attempt DESC LIMIT 1
"""
KNOWS_KEY = "SELECT EXISTS (SELECT 1 FROM refund_attempts WHERE gateway = $1 AND gateway_key = $2)"
# Whoever goes on from here locks the refund in the version it has read: what has gone on meanwhile is not sent and not started.
STILL = "SELECT true FROM refunds WHERE id = $1 AND state = $2 AND version = $3 FOR NO KEY UPDATE"
HURRY = """
UPDATE refunds SET next_attempt_at = $4
WHERE id = $1 AND state = $2 AND version = $3 AND next_attempt_at > $4
"""
ADD_LINE = """
INSERT INTO refund_lines (refund_id, line_id, kind, quantity, of_quantity, paid, amount) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
LINES = (
    "SELECT line_id, kind, quantity, of_quantity, paid, amount FROM refund_lines WHERE refund_id = $1 ORDER BY line_id"
)
# Proven failures give their lines back: rejected, cancelled, reversed, and given up with nothing held.
LINES_TAKEN = """
SELECT l.line_id, max(l.of_quantity) AS of_quantity, max(l.paid) AS paid, sum(l.quantity) AS quantity, sum(l.amount)::bigint AS amount
FROM refund_lines AS l JOIN refunds AS r ON r.id = l.refund_id
WHERE r.payment_id = $1 AND r.state NOT IN (9, 10, 11) AND NOT (r.state = 7 AND r.reserved = 0)
GROUP BY l.line_id
"""
NOTE_CALL = """
INSERT INTO gateway_calls (refund_id, attempt, at, operation, request, outcome, answer, seconds) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
CALLS = """
SELECT refund_id, attempt, at, operation, request, outcome, answer, seconds
FROM (SELECT * FROM gateway_calls WHERE refund_id = $1 ORDER BY id DESC LIMIT $2) AS newest ORDER BY id
"""
OPEN_PROBLEM = """
UPDATE refund_attempts SET problem_at = $3 WHERE refund_id = $1 AND attempt = $2 AND problem_at IS NULL RETURNING true
"""
CLOSE_PROBLEMS = """
UPDATE refund_attempts SET problem_over_at = $3
WHERE refund_id = $1 AND attempt < $2 AND problem_at IS NOT NULL AND problem_over_at IS NULL RETURNING attempt
"""
NOTE_DIFFERENCE = """
INSERT INTO refund_differences (kind, gateway, subject, order_number, detail, found_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (subject, gateway, kind) WHERE over_at IS NULL DO NOTHING RETURNING true
"""
DIFFERENCES_OVER = """
UPDATE refund_differences SET over_at = $2 WHERE subject = $1 AND over_at IS NULL
RETURNING kind, gateway, subject, order_number, detail
"""
PAGE = f"""
{SELECT}
WHERE ($1::smallint IS NULL OR state = $1) AND ($2::text IS NULL OR order_number = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
"""
IN_ERROR = f"""
{SELECT}
WHERE state = {RefundState.ERROR:d} AND ($1::text IS NULL OR order_number = $1) AND ($2::text IS NULL OR error = $2)
ORDER BY id LIMIT $3
"""
SENT_SINCE = """
SELECT r.id FROM refunds AS r
WHERE r.state_since >= $1 AND r.state_since < $2 AND ($3::uuid IS NULL OR r.id > $3)
  AND EXISTS (SELECT 1 FROM refund_attempts AS a WHERE a.refund_id = r.id AND a.gateway_refund_id IS NOT NULL)
ORDER BY r.id LIMIT $4
"""
CLAIM_DAY = """
INSERT INTO reconciliation_days AS d (day, owner, lease_until) VALUES ($1, $2, $4)
ON CONFLICT (day) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until
WHERE d.finished_at IS NULL AND d.lease_until <= $3
RETURNING true
"""
FINISH_DAY = "UPDATE reconciliation_days SET finished_at = $3 WHERE day = $1 AND owner = $2"
