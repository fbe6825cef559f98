"""The statements of ``RefundStore``."""

from __future__ import annotations

from refunds.refunds.states import RefundState

COLUMNS = """
    id, business_key, order_number, payment_id, amount, currency, reason, state, version, attempt, reserved, tries, declines, error,
    next_attempt_at, created_at, state_since, traceparent, settled, everything
"""
COLUMN_NAMES = tuple(name.strip() for name in COLUMNS.split(","))
ADD = f"""
INSERT INTO refunds ({COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
ON CONFLICT (business_key) DO NOTHING RETURNING true
"""  # noqa: S608 - the only thing put in is the list of columns above
SAVED_COLUMNS = (
    *("state", "version", "attempt", "amount", "reserved", "tries", "declines", "error"),
    *("next_attempt_at", "state_since", "settled"),
)
# Who settles another refund of the payment gives this one its sum, and leaves state and version: whoever read it before has read it late.
SAVE = """
UPDATE refunds
   SET state = $4, version = $5, attempt = $6, amount = $7, reserved = $8, tries = $9, declines = $10, error = $11,
       next_attempt_at = $12, state_since = $13, settled = $14
 WHERE id = $1 AND state = $2 AND version = $3 AND reserved = $15
RETURNING true
"""
SELECT = f"SELECT {COLUMNS} FROM refunds"  # noqa: S608 - as above
FIND = f"{SELECT} WHERE id = $1"
BY_KEY = f"{SELECT} WHERE business_key = $1"
WAITING = f"""
{SELECT} WHERE payment_id = $1 AND state = {RefundState.CREATE:d} AND reserved = 0 ORDER BY id FOR NO KEY UPDATE
"""
ORDER_OF_PAYMENT = "SELECT order_number FROM refunds WHERE payment_id = $1 ORDER BY id LIMIT 1"
# The customer has it, by the gateway or by another way, and the payment had no room for its whole sum: it takes it as soon as that has.
HAD = f"""
(state IN ({RefundState.SUCCESS:d}, {RefundState.PENDING:d}) OR state = {RefundState.CLOSED:d} AND settled = 'outside')
"""
NOT_HELD_WHOLE = f"""
{SELECT} WHERE payment_id = $1 AND {HAD} AND (amount IS NULL OR reserved < amount) ORDER BY id FOR NO KEY UPDATE
"""
COUNTED_WHOLE = f"""
SELECT coalesce(sum(CASE WHEN {HAD} THEN coalesce(amount, reserved) ELSE reserved END), 0)::bigint FROM refunds WHERE payment_id = $1
"""  # noqa: S608 - as above
RECORD = """
INSERT INTO refund_history (refund_id, version, attempt, state_before, state_after, happened, actor, detail, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
ASKED_BY = "SELECT actor FROM refund_history WHERE refund_id = $1 ORDER BY version LIMIT 1"
HISTORY = """
SELECT version, attempt, state_before, state_after, happened, actor, detail, at
FROM refund_history WHERE refund_id = $1 ORDER BY version
"""
_ATTEMPTS = """
SELECT refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id
FROM refund_attempts"""
ATTEMPT = f"{_ATTEMPTS} WHERE refund_id = $1 AND attempt = $2"
ADD_ATTEMPT = """
INSERT INTO refund_attempts (refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (refund_id, attempt) DO NOTHING RETURNING true
"""
SENT = """
UPDATE refund_attempts SET sent_at = coalesce(sent_at, $3) WHERE refund_id = $1 AND attempt = $2 RETURNING sent_at
"""
GATEWAY_ID = """
UPDATE refund_attempts SET gateway_refund_id = coalesce(gateway_refund_id, $3)
WHERE refund_id = $1 AND attempt = $2 RETURNING gateway_refund_id
"""
ATTEMPTS = f"{_ATTEMPTS} WHERE refund_id = $1 ORDER BY attempt"
BY_GATEWAY_ID = f"{_ATTEMPTS} WHERE gateway = $1 AND gateway_refund_id = $2 ORDER BY attempt DESC LIMIT 1"
# Of one that has its answer, or has gone on under another key, what else was made under this one is money that moved once more.
BY_GATEWAY_KEY = f"""
{_ATTEMPTS} AS a WHERE gateway = $1 AND gateway_key = $2 AND gateway_refund_id IS NULL
AND EXISTS (SELECT FROM refunds AS r WHERE r.id = a.refund_id AND r.attempt = a.attempt AND r.state NOT IN (5, 9, 10, 11))
"""
# Whoever goes on from here locks the refund in the version that was read: one that has gone on meanwhile is not sent and not started.
STILL = "SELECT true FROM refunds WHERE id = $1 AND state = $2 AND version = $3 FOR NO KEY UPDATE"
MAKE_DUE = """
UPDATE refunds SET next_attempt_at = $4
WHERE id = $1 AND state = $2 AND version = $3 AND next_attempt_at > $4
"""
ADD_LINE = """
INSERT INTO refund_lines (refund_id, line_id, kind, quantity, of_quantity, paid, amount) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
LINES = (
    "SELECT line_id, kind, quantity, of_quantity, paid, amount FROM refund_lines WHERE refund_id = $1 ORDER BY line_id"
)
# Proven failures give their lines back: rejected, cancelled, reversed, and given up (by us or by people) with nothing held.
LINES_TAKEN = """
SELECT l.line_id, sum(l.quantity) AS quantity, sum(l.amount)::bigint AS amount
FROM refund_lines AS l JOIN refunds AS r ON r.id = l.refund_id
WHERE r.payment_id = $1 AND r.state NOT IN (9, 10, 11) AND NOT (r.state = 7 AND r.reserved = 0)
  AND NOT (r.state = 12 AND r.settled = 'given_up' AND r.reserved = 0)
GROUP BY l.line_id
"""
ADD_CALL = """
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
