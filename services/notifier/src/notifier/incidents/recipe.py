"""The standard recipe of an incident (M13): what a button may do about it, at which service, to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from notifier.incidents.model import ProblemFact

RecipeName: TypeAlias = Literal["retry_workflow", "restart_refund"]
_WORKFLOW = "workflow:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe and its target: a workflow's or a refund's id; ``version`` where the operation wants to know what was looked at."""

    name: RecipeName
    target: str
    version: int | None = None

    @property
    def path(self) -> str:
        """The admin address that carries it out (CONTRACT 4 and 6)."""
        if self.name == "retry_workflow":
            return f"/admin/v1/workflows/{self.target}/retry"
        return f"/admin/v1/refunds/{self.target}/restart"

    def body(self, reason: str) -> Mapping[str, object]:
        """The body that the address takes."""
        return {"reason": reason} if self.version is None else {"reason": reason, "expected_version": self.version}


def recipe_of(fact: ProblemFact) -> Recipe | None:
    """Return the recipe for an incident: retry a crashed workflow (M9), restart a refund in RS_ERROR (M22), or none."""
    if fact.kind == "workflow.crashed" and fact.fingerprint.startswith(_WORKFLOW):
        target = fact.fingerprint.removeprefix(_WORKFLOW)
        return Recipe(name="retry_workflow", target=target) if target.isascii() and target.isdecimal() else None
    if fact.kind == "problem.refund.error":
        target, version = fact.details.get("refund_id", ""), fact.details.get("version", "")
        if target and _harmless(target) and version.isascii() and version.isdecimal():
            return Recipe(name="restart_refund", target=target, version=int(version))
    return None


def _harmless(target: str) -> bool:
    """Whether an id can stand in a path as it is."""
    return all(sign.isascii() and (sign.isalnum() or sign == "-") for sign in target)
