"""Which port a program gets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite_local.errors import AlreadyTakenError
from suite_local.infrastructure.local import local_rabbitmq
from suite_local.lifecycle import choose_ports
from suite_local.paths import RunDirectory
from suite_local.ports import CHOICE, SHARE, PortBook, free_port, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


@pytest.fixture
def free() -> int:
    """A port that nobody listens on."""
    return free_port()


def test_the_default_is_taken_when_it_is_free(tmp_path: Path, free: int) -> None:
    book = PortBook(tmp_path / "state.json")

    assert book.choose("tips", default=free) == free
    assert book.moved == {}


def test_a_default_in_use_is_replaced_by_a_free_port_and_reported(tmp_path: Path, taken: int) -> None:
    book = PortBook(tmp_path / "state.json")

    chosen = book.choose("tips", default=taken)

    assert chosen in CHOICE
    assert is_free(chosen)
    assert book.moved == {"tips": (taken, chosen)}


def test_a_chosen_port_is_remembered_by_the_next_start(tmp_path: Path) -> None:
    chosen = PortBook(tmp_path / "state.json").choose("postgres")

    again = PortBook(tmp_path / "state.json")

    assert (again.known("postgres"), again.choose("postgres")) == (chosen, chosen)


def test_a_remembered_port_that_somebody_took_meanwhile_is_replaced(tmp_path: Path, taken: int) -> None:
    (tmp_path / "state.json").write_text(f'{{"ports": {{"postgres": {taken}}}}}')

    assert PortBook(tmp_path / "state.json").choose("postgres") != taken


def test_a_port_asked_for_is_given_or_refused_never_replaced(tmp_path: Path, free: int, taken: int) -> None:
    book = PortBook(tmp_path / "state.json")

    assert book.choose("tips", default=taken, asked=free) == free
    with pytest.raises(AlreadyTakenError, match=str(taken)):
        book.choose("tips", asked=taken)


def test_two_programs_never_get_the_same_port(tmp_path: Path, free: int) -> None:
    book = PortBook(tmp_path / "state.json")

    assert book.choose("gateway", default=free) == free
    assert book.choose("tips", default=free) != free


def test_those_who_choose_side_by_side_never_choose_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    for index in range(3):
        monkeypatch.setenv(SHARE, f"{index}/3")
        chosen.append({free_port() for _ in range(50)})
    assert all(port in CHOICE for ports in chosen for port in ports)
    assert [{port % 3 for port in ports} for ports in chosen] == [{(20_000 + index) % 3} for index in range(3)]


def test_a_port_that_was_given_is_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARE, "0/6000")
    first = free_port()
    assert free_port({first}) != first


def test_a_port_that_is_asked_for_goes_to_no_replica_and_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    # With 60 ports to choose from, somebody would get the one of refunds in most of the tries.
    monkeypatch.setenv(SHARE, f"{(free - CHOICE.start) % 200}/200")
    for each in range(10):
        run = RunDirectory(tmp_path / str(each))
        run.create()
        ports, smtp = choose_ports(
            run, {"SUITE_REFUNDS_PORT": str(free)}, running=False, replicas={"webhook-gateway": 4}, say=print
        )
        local_rabbitmq(run, keep_ports=False)
        assert (ports["refunds"], smtp != free) == (free, True)
        chosen = list(json.loads(run.state_file.read_text())["ports"].values())
        assert len(set(chosen)) == len(chosen)
