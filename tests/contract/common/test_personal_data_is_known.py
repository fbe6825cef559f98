"""Every place where personal data may lie is on its page, or declared to hold none: a new column, queue or file has to say which."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Set
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import pytest

from common.messaging import topology
from common.service import Subject
from common.service.settings import ProcessSettings
from console.web.settings import ConsoleSettings
from notifier.erase import PLACES as NOTIFIER
from notifier.settings import NotifierSettings
from orchestrator.erasures.places import erase_subject as of_orchestrator
from orchestrator.settings import OrchestratorSettings
from refunds.erase import PLACES as REFUNDS
from refunds.settings import RefundsSettings
from tests.support.personal_data import PAGE, code, listed, sections
from tips.settings import TipsSettings
from webhook_gateway.erase import places as of_gateway
from webhook_gateway.settings import Settings as GatewaySettings

NONE = tomllib.loads((Path(__file__).parent / "places_without_people.toml").read_text(encoding="utf-8"))
COMMON = "Every service"
SETTINGS: tuple[type[ProcessSettings], ...] = (
    GatewaySettings, OrchestratorSettings, TipsSettings, RefundsSettings, NotifierSettings, ConsoleSettings,
)  # fmt: skip
_EMPTY: Any = AsyncMock(**{"fetch.return_value": [], "execute.return_value": "DELETE 0"})
"""A database without anything."""

KINDS: Mapping[str, Set[str]] = {
    "webhook-gateway": set(of_gateway(SimpleNamespace(), SimpleNamespace())),  # type: ignore[arg-type] # only its kinds are read
    "orchestrator": set(asyncio.run(of_orchestrator(_EMPTY, Subject(order_number="nobody's")))),
    "refunds": set(REFUNDS),
    "notifier": set(NOTIFIER),
}
# What may hold a text, a document or bytes; numbers, times and ids of our own making cannot say who somebody is.
_COLUMNS = """
SELECT c.relname || '.' || a.attname
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_type AS t ON t.oid = a.atttypid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname <> 'schema_migrations' AND a.attnum > 0 AND NOT a.attisdropped
  AND (t.typcategory IN ('S', 'A', 'I', 'E') OR t.typname IN ('json', 'jsonb', 'bytea', 'xml'))
"""


def without(section: str) -> set[str]:
    """The columns that are declared to hold none."""
    return {f"{table}.{column}" for table, columns in NONE[section].items() for column in columns.split()}


@pytest.mark.parametrize("service", KINDS)
async def test_a_column_is_on_the_page_or_declared_to_hold_none(
    service: str, database_for: Callable[[str], Awaitable[str]]
) -> None:
    connection: Any = await asyncpg.connect(await database_for(service.replace("-", "_")))
    try:
        there = {row[0] for row in await connection.fetch(_COLUMNS)}
    finally:
        await connection.close()
    known = listed(service) | listed(COMMON)
    declared = without(service) | without(COMMON)
    assert there - known - declared == set(), (
        f"say in {PAGE.name} what it holds of whom, or in places_without_people.toml"
    )
    assert (known | declared) - there == set(), "known places that are gone"
    assert known & declared == set()


@pytest.mark.parametrize("service", KINDS)
def test_the_page_names_what_an_erasure_blanks_and_nothing_else(service: str) -> None:
    blanked = code([row[3] for row in [*sections()[service], *sections()[COMMON]]])
    assert blanked == KINDS[service]


def test_the_page_knows_every_queue_of_the_suite() -> None:
    assert listed("Broker") == {queue.name for queue in topology.QUEUES} | {topology.DEAD_LETTERS}


def test_every_file_and_folder_of_a_setting_is_known() -> None:
    known = listed("Files") | set(NONE["files"])
    files = {
        f"{settings.model_config.get('env_prefix')}{name.upper()}"
        for settings in SETTINGS
        for name, field in settings.model_fields.items()
        if field.annotation in (Path, Path | None)
    }
    suffixes = tuple(each.removeprefix("…") for each in known if each.startswith("…"))
    assert {each for each in files if each not in known and not each.endswith(suffixes)} == set()
    assert {each for each in known if "_" in each and not each.startswith("…")} - files == set()


def test_the_page_tells_retentions_as_the_settings_have_them() -> None:
    told = {
        (name, value) for name, value in re.findall(r"`([A-Z…_]+_DAYS)` \((\d+)\b", PAGE.read_text(encoding="utf-8"))
    }
    assert len(told) >= 9
    for name, value in told:
        defaults = {
            settings.model_fields[field].default
            for settings in SETTINGS
            for field in settings.model_fields
            if f"{settings.model_config.get('env_prefix')}{field.upper()}".endswith(name.removeprefix("…"))
        }
        assert defaults == {float(value)}, name
