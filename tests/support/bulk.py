"""How many things a service's bulk changes are tried on."""

import os

MANY = int(os.environ.get("BULK_ITEMS", "250"))
"""Several pages of a list. ``BULK_ITEMS=1000`` tries the most that one request may change, which the tests of the kit always do."""
