"""Ends of alerts whose labels have changed since they fired: a label was added or taken away on their way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence

from common.postgres import Connection
from notifier.inputs.alert import Alert

_MOST_LABELS = 200  # an alert of more is ended under its own labels only
_REMEMBER = """
UPDATE incidents AS i SET alert_bare = a.bare, alert_labels = ARRAY(SELECT jsonb_array_elements_text(a.labels::jsonb))
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS a (id, bare, labels)
WHERE i.id = a.id AND i.alert_labels IS NULL
"""
_MEANT = """
WITH ends AS (
    SELECT e.fingerprint, e.bare, e.begins, e.alert, ARRAY(SELECT jsonb_array_elements_text(e.labels::jsonb)) AS labels
    FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[])
         AS e (fingerprint, bare, begins, alert, labels)
    WHERE NOT EXISTS (SELECT FROM incidents AS i WHERE i.fingerprint = e.fingerprint)
)
SELECT e.fingerprint, min(i.fingerprint) AS meant
FROM ends AS e
JOIN incidents AS i ON i.kind = 'problem.alert' AND i.state <> 'resolved' AND i.details ->> 'alert' = e.alert
 AND (i.alert_labels <@ e.labels OR i.alert_labels @> e.labels)
 AND (i.alert_bare = e.bare OR i.first_seen_at = e.begins)
WHERE i.fingerprint <> ALL ($6::text[])
GROUP BY e.fingerprint HAVING count(*) = 1
"""


async def remember_labels(connection: Connection, alerts: Mapping[int, Alert]) -> None:
    """Remember of incidents which alert each is, as it was when it was first reported."""
    alerts = {incident: alert for incident, alert in alerts.items() if len(alert.labels) <= _MOST_LABELS}
    if alerts:
        columns = [each.bare for each in alerts.values()], [_labels(each) for each in alerts.values()]
        await connection.execute(_REMEMBER, list(alerts), *columns)


async def alerts_meant(
    connection: Connection, ends: Sequence[tuple[str, str, Alert]], *, firing: Collection[str]
) -> Mapping[str, str]:
    """Return for ends (fingerprint, alert's name, alert) the fingerprint of the live incident that each must mean instead.

    Only an end of what was never reported here means another alert: the one of its name, all of whose labels it has or which has all of
    its labels, with the sender's own fingerprint or the very same beginning. None of several, and none that is ``firing`` in the same
    notification.
    """
    ends = [end for end in ends if len(end[2].labels) <= _MOST_LABELS]
    if not ends:
        return {}
    rows = await connection.fetch(
        _MEANT,
        [fingerprint for fingerprint, _, _ in ends],
        [alert.bare for _, _, alert in ends],
        [alert.begins for _, _, alert in ends],
        [name for _, name, _ in ends],
        [_labels(alert) for _, _, alert in ends],
        list(firing),
    )
    return {row["fingerprint"]: row["meant"] for row in rows}


def _labels(alert: Alert) -> str:
    pairs = (json.dumps(pair).encode() for pair in sorted(alert.labels.items()))
    return json.dumps([hashlib.blake2b(pair, digest_size=8).hexdigest() for pair in pairs])
