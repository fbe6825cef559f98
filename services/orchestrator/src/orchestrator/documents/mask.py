"""A document as whoever may not see customers' data sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from common.telemetry.masking import mask_contact, mask_name
from orchestrator.documents.model import ADDRESS, CUSTOMER, MAIL, PHONE
from orchestrator.orders.masks import mask_address

_MASKS: Mapping[str, Callable[[str], str]] = {
    CUSTOMER: mask_name,
    PHONE: mask_contact,
    MAIL: mask_contact,
    ADDRESS: mask_address,
}


def masked_document(content: str) -> str:
    """Return a document with its lines about the customer masked; everything else as it is."""
    return "\n".join(map(_masked_line, content.split("\n")))


def _masked_line(line: str) -> str:
    for label, mask in _MASKS.items():
        if line.startswith(label):
            return label + mask(line.removeprefix(label))
    return line
