"""What a person typed to find deliveries: a phone, a mail, a name, a number, an id, a time, or several of them."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from common.errors import FieldError, InvalidInput
from webhook_gateway.deliveries.digests import mail_token, name_tokens, phone_token

_TIME = re.compile(
    r"(?<!\S)\d{4}-\d{2}-\d{2}(?:[T ](?P<clock>\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)(?:Z|[+-]\d{2}:?\d{2})?)?(?!\S)"
)
_MAIL = re.compile(r"\S+@\S+")
_PHONE = re.compile(r"(?<!\S)\+?[\d(][\d()\s.\-\u2010-\u2015]{5,24}\d(?!\S)")
_DAY, _HOUR, _MINUTE, _SECOND = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedQuery:
    """What was understood. ``since`` and ``until`` bound the time of receiving; ``whole`` is what remains without the time, which may be
    a number or an id; ``people`` are the tokens that a customer has to have, all of them.
    """

    since: datetime | None
    until: datetime | None
    whole: str | None
    people: frozenset[str]

    @property
    def delivery_id(self) -> uuid.UUID | None:
        """The text as the id of a delivery."""
        try:
            return uuid.UUID(self.whole or "")
        except ValueError:
            return None


def read_query(text: str) -> TypedQuery:
    """Understand what was typed. Raises ``InvalidInput`` when nothing can be looked for."""
    since = until = None
    found = _TIME.search(text)
    if found is not None:
        since, until = _span(found[0], clock=found["clock"])
        text = f"{text[: found.start()]} {text[found.end() :]}"
    whole = " ".join(text.split())
    if not whole and since is None:
        raise InvalidInput("the query does not fit", fields=(FieldError("q", "empty", "nothing to look for"),))
    return TypedQuery(since=since, until=until, whole=whole or None, people=_people(whole))


def _people(text: str) -> frozenset[str]:
    tokens: set[str] = set()
    for pattern, token_of in ((_MAIL, mail_token), (_PHONE, phone_token)):
        for part in pattern.findall(text):
            token = token_of(part)
            if token is not None:
                tokens.add(token)
                text = text.replace(part, " ")
    return frozenset(tokens | name_tokens(text))


def _span(text: str, *, clock: str | None) -> tuple[datetime, datetime]:
    """Return the moment's day, hour, minute or second, whichever was typed. Without a zone it is UTC."""
    try:
        starts = datetime.fromisoformat(text)
        starts = (starts if starts.tzinfo is not None else starts.replace(tzinfo=UTC)).astimezone(UTC)
        length = _DAY if clock is None else (_HOUR, _MINUTE, _SECOND)[clock.count(":")]
        return starts, starts + length
    except (ValueError, OverflowError):
        fault = FieldError("q", "not_a_time", "a time is written like 2026-11-21 or 2026-11-21T10:00+03:00")
        raise InvalidInput("the query does not fit", fields=(fault,)) from None
