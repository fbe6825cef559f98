"""Each of three broker nodes is killed, frozen, cut off and begun anew under load: every hook is answered, and none is lost."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.cluster.broker_faults import EACH, Fault, stopped, until_whole
from tests.cluster.broker_nodes import NODES
from tests.cluster.conftest import Stand
from tests.cluster.page import Section, Seen
from tests.cluster.trials import Trials

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("fault", EACH, ids=lambda fault: fault.__name__)
async def test_no_acknowledged_hook_is_lost_when_each_node(
    fault: Fault, stand: Stand, trials: Trials, since: datetime
) -> None:
    async def each_in_turn(section: Section) -> None:
        for node in range(NODES):
            with section.fails(f"node {node + 1} {fault.__name__}"):
                await fault(stand.brokers, node)
            with section.fails("and until the cluster is whole"):
                await until_whole(stand.brokers, section)

    section = await trials.withstands(f"Each broker is {fault.__name__}", each_in_turn, since, seed=91)
    if fault is stopped:
        assert set(Seen.of(play for _, play in section.plays).answers) == {"200"}, "nobody notices"
