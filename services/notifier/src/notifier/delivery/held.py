"""Why a delivery did not go at once, in SQL: of ``d``, a row of ``deliveries`` that is being claimed, and ``l``, its chat."""

from __future__ import annotations

from notifier.delivery.outcomes import THROTTLED

THROTTLED_SQL = "'" + THROTTLED.replace("'", "''") + "'"
_LIMITS = "('chat_limit', 'asked_to_wait')"
# Why it did not go at once. What failed outranks what was asked for, and that the chat's own limit: who waits for a limit after a failure
# would have been in time without the failure.
WHY = f"""CASE
    WHEN d.reason <> {THROTTLED_SQL} THEN d.reason
    WHEN d.held_by NOT IN {_LIMITS} THEN d.held_by
    WHEN d.reason = {THROTTLED_SQL} OR d.held_by = 'asked_to_wait' THEN 'asked_to_wait'
    WHEN l.held_until > d.created_at AND l.held_until <= clock_timestamp() THEN l.held_by
    ELSE d.held_by END"""
# The notice of its subject before it, which a failed attempt kept in the chat while this one waited. Not looked for at once.
BEHIND = """
SELECT e.notice_id FROM notices AS n JOIN deliveries AS e ON e.notice_id = n.id
WHERE d.attempts = 0 AND d.created_at < now() - interval '1 second' AND n.subject = d.subject
  AND e.lane = d.lane AND e.sequence < d.sequence AND e.failed_at IS NOT NULL AND greatest(e.failed_at, e.sent_at) > d.created_at
ORDER BY e.sequence DESC LIMIT 1
"""
