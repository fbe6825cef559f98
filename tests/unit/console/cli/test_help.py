"""The help of a command says what it does, who may, and how it is used."""

from __future__ import annotations

import shlex

import pytest

from console.cli.nouns import NOUNS
from console.client.acts import ACTS, Act
from tests.unit.console.cli.conftest import Ordersctl

MADE = [act for act in ACTS.values() if NOUNS[act.noun].acts]
"""Those whose commands are made of the table; `check refunds` is one of its own."""


@pytest.mark.parametrize("act", MADE, ids=lambda act: act.name)
def test_every_act_has_its_role_and_an_example_with_all_that_it_needs(
    act: Act, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    ended = ordersctl(act.noun, act.verb, "--help")
    assert (ended.code, f"({act.operation.role})" in ended.out) == (0, True)
    [line] = [line for line in ended.out.splitlines() if "Example: " in line]
    words = shlex.split(line.partition("Example: ")[2])
    assert words[:3] == ["ordersctl", act.noun, act.verb]
    # It is understood: with a profile that there is not, that is all that is wrong.
    refused = ordersctl(*words[1:], "-p", "nowhere")
    assert (refused.code, "no profile nowhere" in refused.remarks) == (2, True), refused.remarks
