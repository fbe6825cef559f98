"""What operations raise, with the codes that callers may rely on."""

from __future__ import annotations

from common.errors import Conflict


class StaleVersion(Conflict):
    """The thing is not at the version that the caller looked at: look again, decide again."""

    code = "stale_version"


class NoPayment(Conflict):
    """The order has no payment of ours: whoever took the money gives it back."""

    code = "no_payment"
