"""``python -m common.http.token_entry FILE``: by what a service knows the token in FILE, which does not let one call.

A file that is not there is made, with a new token that its owner alone reads; no token is ever printed.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from common.errors import ConfigurationError
from common.http.auth import TokenBook, fingerprint
from common.http.sent_token import SentToken


def main(arguments: Sequence[str] | None = None) -> int:
    """Print an entry of ``…_TOKENS_FILE``, or without a name what stands among a source's tokens. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="token_entry", description="Prints a token's digest as a file of tokens has it."
    )
    parser.add_argument("file", type=Path, help="holds the token; made, with a new one, where it is not there")
    parser.add_argument("--name", help="who sends it; without a name: the line for a source of the gateway")
    parser.add_argument("--role", default="internal", help="viewer, operator, admin, internal, website, …")
    parser.add_argument("--scope", action="append", help="what it is for, as often as needed; without: all of its role")
    given = parser.parse_args(arguments)
    try:
        if not given.file.exists():
            with os.fdopen(os.open(given.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
                made.write(secrets.token_urlsafe(24))
        digest = fingerprint(SentToken(given.file).value)
        entry = {"name": given.name, "sha256": digest, "role": given.role}
        entry |= {"scopes": given.scope} if given.scope else {}
        if given.name is not None:
            TokenBook().read(json.dumps({"tokens": [entry]}).encode())  # so that no service refuses it later
    except (OSError, ConfigurationError) as error:
        sys.stderr.write(f"token_entry: {error}\n")
        return 2
    sys.stdout.write(f"{json.dumps(entry, ensure_ascii=False) if given.name else f'sha256:{digest}'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
