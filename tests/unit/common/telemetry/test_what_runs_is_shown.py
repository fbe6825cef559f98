"""Version, environment and replica stand among the metrics once the process knows them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from common.telemetry.service_info import ServiceInfo


def test_what_runs_is_one_series_once_it_is_known() -> None:
    info, registry = ServiceInfo(), CollectorRegistry(auto_describe=True)
    registry.register(info)
    assert b"service_info{" not in generate_latest(registry)
    for replica in ("tips-1", "tips-2"):
        info.know(version="0.1.0", environment="testing", replica=replica)
    assert [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")] == [
        'service_info{environment="testing",replica="tips-2",version="0.1.0"} 1.0'
    ]
