"""Fixtures that run a real nginx with the committed configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from suite_local import ports
from suite_local.ports import LOOPBACK
from tests.support.edge import Edge, nginx_in, render


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives ports that nothing listens on, outside the range of outgoing connections: a server may come back to its own."""
    given: set[int] = set()

    def choose() -> int:
        given.add(port := ports.free_port(given))
        return port

    return choose


@pytest.fixture
def edge_for(tmp_path: Path, free_port: Callable[[], int]) -> Callable[..., AbstractAsyncContextManager[Edge]]:
    """`async with edge_for([port, port, port]) as edge:` runs nginx in front of these; `trusted` are proxies in front of it.

    ``variables`` are what its container would be told; ``hasty``: it gives a replica up as soon as in earnest.
    """

    @asynccontextmanager
    async def make(
        upstreams: Sequence[int],
        *,
        trusted: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        hasty: bool = False,
    ) -> AsyncIterator[Edge]:
        edge = Edge(tmp_path / "nginx", upstreams, free_port(), trusted=trusted, variables=variables, hasty=hasty)
        try:
            await edge.start()
            yield edge
        finally:
            await edge.stop()

    return make


@pytest.fixture
def console_edge(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Path]]:
    """`async with console_edge(port=…, console=…, certificates=…) as prefix:` runs the TLS in front of a console at host:port.

    ``authority``: believed by this file the console is called over TLS, too.
    """

    @asynccontextmanager
    async def make(
        *, port: int, console: str, certificates: Path, authority: Path | None = None
    ) -> AsyncIterator[Path]:
        prefix = tmp_path / "console-edge"
        variables = {
            "EDGE_LISTEN": f"{LOOPBACK}:{port}",
            "EDGE_RESOLVER": LOOPBACK,  # never asked: the address is a number
            "EDGE_CONSOLE": console,
            "EDGE_CERTIFICATES": str(certificates),
            "EDGE_SCHEME": "http" if authority is None else "https",
            "EDGE_CA_FILE": str(authority or prefix / "nobody.crt"),
        }
        render("console", prefix, variables)
        async with nginx_in(prefix, port=port):
            yield prefix

    return make
