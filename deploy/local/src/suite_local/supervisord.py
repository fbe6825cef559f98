"""supervisord itself, made to look around five times a second instead of once.

It notices an end in one look and spawns anew in the next, or the one after that: up to two seconds at its own pace, and two
seconds are all that a program which died may be away. Nothing else is changed.
"""

from __future__ import annotations

from typing import Any

from supervisor import poller, supervisord

LOOK_EVERY_S = 0.2


class PromptPoller(poller.Poller):  # type: ignore[misc]  # supervisor ships no types
    """Waits no longer than a look takes."""

    def poll(self, timeout: float) -> Any:
        """Return what is readable and writable, at the latest when it is time for another look."""
        return super().poll(min(timeout, LOOK_EVERY_S))


def main() -> None:
    """Run supervisord with the arguments given."""
    poller.Poller = PromptPoller
    supervisord.main()


if __name__ == "__main__":
    main()
