"""What a bulk change answers, and what a page carries from rehearsing to applying."""

from __future__ import annotations

import html
import re
from typing import Any

RETRY = "POST /admin/v1/workflows/retry"


def planned(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a service answers to a bulk change."""
    return {"dry_run": True, "plan": "digest", "matched": len(items), "more": False, "items": list(items), **more}


def hidden(page: str, name: str) -> str:
    """What a page carries in a hidden field."""
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])
