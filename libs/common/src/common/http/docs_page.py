"""``/docs``: the OpenAPI document as a page for people. One static page: no script, no outside address.

It loads under ``Content-Security-Policy: default-src 'none'`` with the hash of its own style sheet.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--dim:#888}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.5rem .8rem}
summary{cursor:pointer}code,pre{font:13px/1.45 ui-monospace,monospace}
pre{overflow:auto;padding:.6rem;border:1px solid var(--line);border-radius:6px;max-height:30rem}
.method{display:inline-block;min-width:4.2rem;font-weight:700}.dim{color:var(--dim)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0}
"""

_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def docs_page(document: Mapping[str, Any]) -> str:
    """Render an OpenAPI document as HTML."""
    info = document["info"]
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["operations"])[0]
            by_tag.setdefault(tag, []).append(_operation(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in by_tag.items())
    schemas = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{_pre(schema)}</details>'
        for name, schema in document["components"]["schemas"].items()
    )
    title = escape(str(info["title"]))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        f'<h1>{title}</h1><p class="dim">version {escape(str(info["version"]))} · <a href="openapi.json">openapi.json</a></p>'
        f"<p>{escape(str(info.get('description', '')))}</p>{sections}<h2>Schemas</h2>{schemas}</body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    scopes = [scope for proof in operation.get("security", ()) for scope in proof.get("bearer", ())]
    lock = escape(" · ".join(["", "bearer token", *scopes])) if operation.get("security") else ""
    parts = [
        (
            f'<details id="{escape(operation["operationId"])}"><summary><span class="method">{escape(method.upper())}</span>'
            f"<code>{escape(path)}</code> {escape(operation['summary'])}</summary>"
        )
    ]
    if operation.get("description") or lock:
        parts.append(f'<p class="dim">{escape(operation.get("description", ""))}{lock}</p>')
    if operation.get("parameters"):
        rows = "".join(
            f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{escape(parameter['in'])}</td>"
            f"<td>{'required' if parameter.get('required') else 'optional'}</td>"
            f"<td><code>{escape(json.dumps(parameter['schema'], ensure_ascii=False))}</code></td>"
            f"<td>{escape(parameter.get('description', ''))}</td></tr>"
            for parameter in operation["parameters"]
        )
        parts.append(f"<h4>Parameters</h4><table>{rows}</table>")
    if "requestBody" in operation:
        content = next(iter(operation["requestBody"]["content"].values()))
        parts.append(f"<h4>Request body</h4>{_schema(content['schema'])}")
    rows = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{escape(answer['description'])}</td><td>"
        + "".join(_schema(content["schema"]) for content in answer.get("content", {}).values())
        + "</td></tr>"
        for status, answer in operation["responses"].items()
    )
    parts.append(f"<h4>Answers</h4><table>{rows}</table></details>")
    return "".join(parts)


def _schema(schema: Mapping[str, Any]) -> str:
    if set(schema) == {"$ref"}:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f'<a href="#{name}"><code>{name}</code></a>'
    return _pre(schema)


def _pre(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
