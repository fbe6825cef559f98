"""``check all|ledger|orders|refunds|dead-letters|audit``: one verdict over what the services say of themselves. 0: nothing differs.

``all`` also says what is kept and waits for a person: that is neither lost nor does it differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import typer

from console.cli.commands import Context, add
from console.cli.exits import EndedError, Exit
from console.cli.fields import read_moment
from console.cli.output import Columns
from console.client.checks import CHECKS, unsettled

_COLUMNS = Columns(("check", "verdict", "detail", "figures"), name="check")


def _command(names: tuple[str, ...]) -> Callable[..., Awaitable[Exit | None]]:
    async def run(
        at: Context,
        *,
        since: Annotated[str | None, typer.Option(help="the ledger from then on (-1d unless given)")] = None,
        days: Annotated[int | None, typer.Option(min=1, max=365, help="the registers of the last days")] = None,
    ) -> Exit | None:
        import asyncio

        over: dict[str, Mapping[str, Any]] = {
            "ledger": {"from": read_moment(since, "--since", at.out.zone)} if since else {},
            "refunds": {"days": days} if days else {},
        }
        verdicts = await asyncio.gather(*(_verdict(at, name, over.get(name, {})) for name in names))
        at.out.rows([row for row, _ in verdicts], _COLUMNS)
        codes = {code for _, code in verdicts}
        at.out.note("nothing is lost, nothing differs" if codes == {Exit.DONE} else "NOT proved", style="bold")
        for line in await unsettled(at.suite) if len(names) > 1 else ():
            at.out.note(line)
        return Exit.REFUSED if Exit.REFUSED in codes else max(codes)

    return run


async def _verdict(at: Context, name: str, over: Mapping[str, Any]) -> tuple[dict[str, Any], Exit]:
    from console.cli.exits import told
    from console.client.suite import RefusedError, UnreachableError

    try:
        wrong, figures = await CHECKS[name](at.suite, over)
    except (RefusedError, UnreachableError, EndedError) as error:
        said, code = told(error) or (str(error), Exit.REFUSED)
        return {"check": name, "verdict": "unknown", "detail": said, "figures": None}, code
    detail = "; ".join(wrong) or None
    row = {"check": name, "verdict": "differs" if wrong else "holds", "detail": detail, "figures": figures}
    return row, Exit.REFUSED if wrong else Exit.DONE


def build(app: typer.Typer) -> None:
    """Add a command for each check, and one for all."""
    for name, checker in CHECKS.items():
        add(app, name, _command((name,)), about=checker.__doc__ or "")
    add(app, "all", _command(tuple(CHECKS)), about="All checks, one verdict")
