"""A supervisor event listener: whenever a program runs anew, `suite.json` gets the new pids.

Started by supervisord (see `supervision.render`), restarted by it when it dies; at each start it writes the file afresh, so
nothing is missed. It imports little: it has to be back fast.
"""

from __future__ import annotations

import sys
from pathlib import Path

from supervisor import childutils

from suite_local.paths import RunDirectory
from suite_local.suite_json import refresh


def main() -> None:
    """Answer supervisord's events until it closes our input."""
    run = RunDirectory(Path(sys.argv[1]))
    refresh(run)
    while True:
        try:
            childutils.listener.wait(sys.stdin, sys.stdout)
        except (KeyError, ValueError):  # end of input: supervisord is gone
            return
        try:
            refresh(run)
        finally:
            # Also after an error, which ends this process and has it started again: the event is done with.
            childutils.listener.ok(sys.stdout)


if __name__ == "__main__":
    main()
