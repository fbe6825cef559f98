"""The switches of the tips caller: audited flag rows, polled, served through the OpenFeature SDK by a provider of ours.

Order of decision: the config flag ``tips_service`` (the kill switch is turning it off), then the experiment ``tips_service_experiment``.
An order's bucket is murmur3 of ``salt:order_id`` modulo 10,000 (the flag's name is the salt): it keeps its arm, and a growing share
only adds orders. ``tests/conformance/buckets.json`` pins the buckets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

import mmh3
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata
from openfeature.provider.no_op_provider import NoOpProvider

from common.postgres import Database
from common.telemetry import get_logger
from orchestrator.tips.model import Arm, ExperimentFailed

_log = get_logger()
CONFIG_FLAG = "tips_service"
EXPERIMENT_FLAG = "tips_service_experiment"
SHADOW_FLAG = "tips_service_shadow"
WHOLE = 10_000
_FLAGS = "SELECT name, enabled, share FROM flag"


def bucket_of(salt: str, order_id: str) -> int:
    """Return the order's bucket, 0 to 9,999. Never changes; whoever re-implements it has the vectors to check against."""
    return int(mmh3.hash(f"{salt}:{order_id}", signed=False)) % WHOLE


@dataclass(frozen=True, slots=True)
class FlagRow:
    """A switch. ``share`` is of orders, in hundredths of a percent."""

    enabled: bool
    share: int


class FlagRows:
    """The flags as they were at the last look. ``fresh`` fails when that was more than ``max_age`` seconds ago."""

    def __init__(self, database: Database, *, max_age: float, monotonic: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._max_age = max_age
        self._monotonic = monotonic
        self._rows: Mapping[str, FlagRow] = {}
        self._read_at: float | None = None

    async def poll(self, seconds: float) -> None:
        """Read again and again until cancelled. To be supervised."""
        while True:
            await self.read()
            await asyncio.sleep(seconds)

    async def read(self) -> None:
        """Read the flags now, if they can be read. Survives everything: what cannot be read grows old and means *off*."""
        try:
            async with self._database.acquire() as connection:
                rows = await connection.fetch(_FLAGS)
        except Exception as error:  # noqa: BLE001 - whatever it is, the own rules decide meanwhile
            _log.warning("flags_unreadable", reason=type(error).__name__)
            return
        self._rows = {row["name"]: FlagRow(row["enabled"], row["share"]) for row in rows}
        self._read_at = self._monotonic()

    def fresh(self) -> Mapping[str, FlagRow] | None:
        """Return the flags, or None when they are too old to be believed."""
        if self._read_at is None or self._monotonic() - self._read_at > self._max_age:
            return None
        return self._rows


class FlagProvider(AbstractProvider):
    """The OpenFeature provider: a boolean flag is true for the share of targeting keys in its row. Other types are not served."""

    def __init__(self, rows: FlagRows) -> None:
        super().__init__()
        self._flags = rows

    def get_metadata(self) -> Metadata:
        """Name the provider."""
        return Metadata(name="orders-flags")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Resolve a flag for a targeting key. Rows that cannot be read are an error, not a value."""
        rows = self._flags.fresh()
        if rows is None:
            return _error(default_value, ErrorCode.PROVIDER_NOT_READY, "the flags could not be read for a while")
        row = rows.get(flag_key)
        if row is None:
            return _error(default_value, ErrorCode.FLAG_NOT_FOUND, f"there is no flag {flag_key}")
        if not row.enabled:
            return FlagResolutionDetails(False, reason=Reason.DISABLED)
        if row.share >= WHOLE:
            return FlagResolutionDetails(True, reason=Reason.STATIC)
        key = None if evaluation_context is None else evaluation_context.targeting_key
        if key is None:
            return _error(default_value, ErrorCode.TARGETING_KEY_MISSING, "a share needs a targeting key")
        return FlagResolutionDetails(bucket_of(flag_key, key) < row.share, reason=Reason.SPLIT)

    def _not_served(
        self, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Any]:
        return _error(default_value, ErrorCode.TYPE_MISMATCH, f"{flag_key} is a switch")

    resolve_string_details = resolve_integer_details = _not_served
    resolve_float_details = resolve_object_details = _not_served


class Experiment:
    """The switches by order, asked through the OpenFeature SDK, so that another provider (flagd) can take our place.

    ``domain`` keeps providers of one process apart. A look-up that takes longer than ``deadline`` seconds has failed.
    """

    def __init__(self, provider: AbstractProvider, *, domain: str, deadline: float) -> None:
        api.set_provider_and_wait(provider, domain)
        self._domain = domain
        self._client = api.get_client(domain)
        self._deadline = deadline

    def close(self) -> None:
        """Let go of the provider."""
        api.set_provider(NoOpProvider(), self._domain)

    async def arm(self, number: str) -> Arm:
        """Return where the order stands. It keeps its arm while the share stays or grows. Raises ``ExperimentFailed``."""
        if not await self._is_on(CONFIG_FLAG, number):
            return Arm.OFF
        return Arm.SERVICE if await self._is_on(EXPERIMENT_FLAG, number) else Arm.CONTROL

    async def shadows(self, number: str) -> bool:
        """Return whether both paths are to be compared for this order. Raises ``ExperimentFailed``."""
        return await self._is_on(SHADOW_FLAG, number)

    async def _is_on(self, flag: str, number: str) -> bool:
        try:
            async with asyncio.timeout(self._deadline):
                found = await self._client.get_boolean_details_async(flag, False, EvaluationContext(number))
        except TimeoutError:
            raise ExperimentFailed(f"{flag}: no answer within {self._deadline:g} s") from None
        if found.error_code is not None:
            raise ExperimentFailed(f"{flag}: {found.error_code}")
        return bool(found.value)


def _error(value: Any, code: ErrorCode, message: str) -> FlagResolutionDetails[Any]:
    return FlagResolutionDetails(value, error_code=code, error_message=message, reason=Reason.ERROR)
