"""What Yandex Tracker takes and how it refuses: the bodies of its calls, and the workflow of its issues."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox.gate import Answer, Call

QUEUE = re.compile(r"[A-Z][A-Z0-9]{1,14}")
TRANSITIONS = {
    "open": "open",
    "reopen": "open",
    "start_progress": "inProgress",
    "need_info": "needInfo",
    "resolve": "resolved",
    "close": "closed",
}
ENDS = frozenset({"resolved", "closed"})
_WORK = ("start_progress", "need_info", "resolve", "close")
STEPS = {
    "open": _WORK,
    "inProgress": ("open", *_WORK[1:]),
    "needInfo": ("open", *_WORK[2:]),
    "resolved": ("reopen", "close"),
    "closed": ("reopen",),
}
"""Which steps an issue has in each status; it has no others."""
RELATIONSHIPS = {
    "relates",
    "is dependent by",
    "depends on",
    "is subtask for",
    "is parent task for",
    "duplicates",
    "is duplicated by",
    "is epic of",
    "has epic",
}
ROBOT = {"id": "1", "display": "Order suite"}
MOST_FOUND = 50


class TrackerError(Exception):
    """A refusal: HTTP status, words, and the fields at fault."""

    def __init__(self, status: int, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields or {}


class IssueBody(BaseModel):
    """The body of `POST /v3/issues`; other fields of the queue are allowed and kept."""

    model_config = ConfigDict(extra="allow")

    summary: str = Field(min_length=1, max_length=1024)
    queue: str | int | dict[str, Any]
    description: str | None = None
    unique: str | None = Field(default=None, min_length=1, max_length=255)


class CommentBody(BaseModel):
    """The body of a comment."""

    model_config = ConfigDict(extra="allow")

    text: str = Field(min_length=1)


class LinkBody(BaseModel):
    """The body of a link to another issue."""

    model_config = ConfigDict(extra="forbid")

    relationship: str
    issue: str = Field(min_length=1)


class PersonComment(BaseModel):
    """The body of `POST /sandbox/tracker/issues/{key}/comments`: a person writes into the ticket."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1)
    user: str = Field(default="user", min_length=1)


class SearchBody(BaseModel):
    """The body of `POST /v3/issues/_search`, by keys."""

    model_config = ConfigDict(extra="forbid")

    keys: list[str] = Field(min_length=1)


class PersonAct(BaseModel):
    """The body of `PATCH /sandbox/tracker/issues/{key}`: a person makes a step of the workflow, assigns the issue, writes into it.

    `assignee` is a login, or null for nobody. The comment, if there is one, is written first, as in the Tracker's own window.
    """

    model_config = ConfigDict(extra="forbid")

    transition: str | None = None
    assignee: str | None = None
    comment: str | None = Field(default=None, min_length=1)
    user: str = Field(default="user", min_length=1)


class IssueOrder(BaseModel):
    """The body of `PUT /sandbox/tracker/issues/{key}`: an issue somebody else made, e.g. a development ticket."""

    model_config = ConfigDict(extra="forbid")

    summary: str = "A ticket of somebody else"


class TokenOrder(BaseModel):
    """The body of `PUT /sandbox/tracker/token`: whose the token is, for a token that is a person's."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(min_length=1)


def object_of(call: Call) -> dict[str, Any]:
    """Return the body of a call, an object."""
    try:
        body = call.json()
    except ValueError:
        raise TrackerError(400, "The body is no JSON") from None
    if not isinstance(body, dict):
        raise TrackerError(400, "The body is no object")
    return body


def refused(error: TrackerError) -> Answer:
    """Return the answer that says so."""
    body = {"errors": error.fields, "errorMessages": [str(error)], "statusCode": error.status}
    return Answer(error.status, body)
