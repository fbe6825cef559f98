"""A real OpenID provider, one for a file of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from suite_local.ports import free_port
from tests.support.openid_provider.running import Provider, a_provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Provider]:
    """The provider, which knows a console at a port that is free."""
    console = f"http://127.0.0.1:{free_port()}"
    with a_provider(tmp_path_factory.mktemp("provider"), console=console) as made:
        await made.start()
        yield made
