"""What the commands are about: each noun once, and which functions make its commands."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """A group of commands, or one command (``alone``).

    ``listed``, ``shown``: what of the client's things is listed and shown; ``acts``: whose acts of the client it has; ``more``: the
    function of this package that adds the rest.
    """

    about: str
    listed: str | None = None
    shown: str | None = None
    acts: str | None = None
    more: str | None = None
    alone: bool = False

    def build(self, app: typer.Typer) -> None:
        """Make its commands."""
        if self.listed:
            from console.cli.things import add_list

            add_list(app, self.listed)
        if self.shown:
            from console.cli.things import add_show

            add_show(app, self.shown)
        if self.acts:
            from console.cli.acts import add_act
            from console.client.acts import ACTS

            for act in ACTS.values():
                if act.noun == self.acts:
                    add_act(app, act)
        if self.more:
            module, _, function = self.more.partition(":")
            getattr(import_module(f"console.cli.{module}"), function)(app)


def _thing(noun: str, about: str, *, shown: bool = True, more: str | None = None) -> Noun:
    return Noun(about=about, listed=noun, shown=noun if shown else None, acts=noun, more=more)


NOUNS: dict[str, Noun] = {
    "status": Noun(about="Is each service ready, and what needs a person", more="overview:build_status", alone=True),
    "whoami": Noun(about="Who am I here, and what may I do", more="overview:build_whoami", alone=True),
    "login": Noun(about="Sign in with the profile's OpenID provider", more="login:build_login", alone=True),
    "logout": Noun(about="Forget that", more="login:build_logout", alone=True),
    "find": Noun(about="Find by whatever a person has", more="find:build_find", alone=True),
    "order": _thing("order", "Orders", more="orders:build"),
    "workflow": _thing("workflow", "Workflows: stop, resume, retry"),
    "event": _thing("event", "Events of workflows: reprocess, skip, mend"),
    "parked": _thing("parked", "Orders whose creation has not come", shown=False),
    "refund": _thing("refund", "Refunds, and what the payment system said", more="views:build_refund"),
    "payment": Noun(about="Payments: what was captured, what of it went back", listed="payment", shown="payment"),
    "difference": _thing("difference", "What we and the payment systems disagree about"),
    "intake": _thing("intake", "What came in: replay, mend, dismiss", more="views:build_intake"),
    "endangered": _thing("endangered", "Website orders that were not answered with a yes"),
    "incident": _thing("incident", "Problems: take, resolve, comment"),
    "ticket": _thing("ticket", "Tickets of the support desk"),
    "silence": _thing("silence", "Silences and maintenance windows"),
    "known-defect": _thing("known-defect", "Known defects"),
    "message": _thing("message", "What was sent where, and why or why not"),
    "instruction": Noun(about="What operators do, by kind of problem", acts="instruction"),
    "unread-alert": Noun(about="Alerts that could not be taken", listed="unread-alert", shown="unread-alert"),
    "alert-sender": _thing("alert-sender", "From whom alerts come: who is silent, who was given up"),
    "duty": _thing("duty", "Who answers now and in the weeks to come", more="duty:build"),
    "roster": Noun(about="The plan of duty: a file", more="files:build_roster"),
    "people": Noun(about="The colleagues, their accounts and phones: a file", more="files:build_people"),
    "flag": Noun(about="Switches", acts="flag", more="views:build_flag"),
    "tips": Noun(about="Why tips are what they are, and whether the service decides as we do", more="views:build_tips"),
    "stock-movement": Noun(about="Goods that left a store's balance", listed="stock-movement"),
    "dead-letter": Noun(about="Messages that a consumer gave up on", more="everywhere:build_dead_letters"),
    "limits": Noun(about="Who may not order just now", listed="limit", shown="limit", acts="limits"),
    "check": Noun(about="Is anything lost, does anything differ: one verdict", more="check:build"),
    "audit": Noun(about="Who changed what, when and why", more="everywhere:build_audit", alone=True),
    "tail": Noun(about="Everything that happens, live", more="tail:build", alone=True),
    "customer": Noun(about="A customer's data", more="everywhere:build_customer"),
    "api": Noun(about="Call any address of a service", more="raw:build_api", alone=True),
    "apply": Noun(about="Do what a kept plan says", more="raw:build_apply", alone=True),
    "open": Noun(about="The console's page of something", more="find:build_open", alone=True),
    "profile": Noun(about="Which suite, as whom", more="profile_commands:build"),
    "completion": Noun(about="Print the shell's completion script", more="completion:build", alone=True),
}
"""Every noun, in the order of ``--help``."""
