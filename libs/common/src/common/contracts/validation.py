"""Whether a message fits its type: asked before a person sends a mended one to a queue."""

from __future__ import annotations

import binascii

from pydantic import ValidationError

from common.contracts import intake
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.contracts.registry import MESSAGES
from common.errors import FieldError

_INTAKE = frozenset(
    {
        intake.HOOK_RECEIVED,
        intake.HOOK_IGNORED,
        intake.HOOK_QUARANTINED,
        intake.WEBSITE_ORDER_REFUSED,
        intake.FRONTEND_ERROR_REPORTED,
    }
)


def faults_of(envelope: Envelope) -> tuple[FieldError, ...]:
    """Return what is wrong with a message, by its type; nothing when it can be handled. No value of the message is quoted."""
    model = MESSAGES.get(envelope.type)
    if model is not None:
        if envelope.data is None:
            return (FieldError("data", "missing", "this type carries data"),)
        try:
            model.model_validate(envelope.data)
        except ValidationError as error:
            return validation_faults(error, place="data")
        return ()
    if envelope.type not in _INTAKE:
        return (FieldError("type", "unknown_type", "no message of this suite has this type"),)
    try:
        IntakeMessage.from_envelope(envelope)
    except binascii.Error:
        return (FieldError("data_base64", "not_base64", "the request's body is carried in base64"),)
    except ValueError as error:
        return (FieldError("", "incomplete", str(error)),)  # names the attribute that is missing
    return ()


def validation_faults(error: ValidationError, *, place: str = "") -> tuple[FieldError, ...]:
    """Turn pydantic's findings into fields. The offending values are left out: they may be a customer's data."""
    return tuple(
        FieldError(
            field=".".join([*([place] if place else []), *(str(part) for part in finding["loc"])]),
            code=finding["type"],
            message=finding["msg"],
        )
        for finding in error.errors(include_input=False, include_url=False, include_context=False)
    )
