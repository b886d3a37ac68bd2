"""The API's document as one page: every endpoint with its fields, answers and a request to copy. No script."""

import html
import json
from typing import Any

MOST_DEPTH = 6
STYLE = """
:root { color-scheme: light dark; --ground: #FAFAF7; --surface: #FFFFFF; --tint: #F1F2EC; --line: #E4E4DD;
  --ink: #1B2625; --muted: #5C6B69; --accent: #0F766E; }
@media (prefers-color-scheme: dark) { :root { --ground: #0F1514; --surface: #171F1E; --tint: #1C2625;
  --line: #2A3533; --ink: #E5ECEA; --muted: #93A3A0; --accent: #2DD4BF; } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 28px; margin: 0 0 8px; } h2 { font-size: 20px; margin: 32px 0 8px; }
h3 { font-size: 16px; margin: 16px 0 4px; } p { margin: 0 0 12px; }
a { color: var(--accent); } .quiet, td small { color: var(--muted); }
details { background: var(--surface); border: 1px solid var(--line); border-radius: 8px; margin: 0 0 8px; }
summary { padding: 10px 12px; cursor: pointer; min-height: 24px; }
summary code { font-weight: 600; } summary b { color: var(--accent); display: inline-block; min-width: 64px; }
.body { padding: 0 12px 12px; } :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
code, pre { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 13px; }
pre { background: var(--tint); border-radius: 8px; padding: 12px; margin: 0; overflow-x: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: 4px 8px 4px 0; border-bottom: 1px solid var(--line); }
"""


def page(told: dict[str, Any]) -> str:
    """The whole page of an OpenAPI document."""
    groups: dict[str, list[str]] = {}
    for path, methods in told["paths"].items():
        for method, one in methods.items():
            groups.setdefault((one.get("tags") or ["Others"])[0], []).append(_endpoint(told, path, method, one))
    body = "".join(f"<h2>{html.escape(name)}</h2>{''.join(parts)}" for name, parts in groups.items())
    info = told["info"]
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width='
            f'device-width, initial-scale=1"><title>{html.escape(info["title"])} API</title><style>{STYLE}</style>'
            f'<link rel="icon" href="/icon.svg" type="image/svg+xml"></head><body><main>'
            f'<h1>{html.escape(info["title"])} API</h1><p>{html.escape(info["description"])}</p>'
            f'<p><a href="/openapi.json">The same as an OpenAPI document</a> · <a href="/">Back to Galen</a></p>'
            f"{body}</main></body></html>")


def _endpoint(told: dict[str, Any], path: str, method: str, one: dict[str, Any]) -> str:
    parts = [f"<p>{html.escape(one['description'])}</p>" if one.get("description") else ""]
    if one.get("parameters"):
        parts.append("<h3>In the address</h3>" + _table([
            (p["name"], p.get("schema", {}), p.get("required", False), p.get("description", ""))
            for p in one["parameters"]], told))
    contents = one.get("requestBody", {}).get("content", {})
    for kind, content in contents.items():
        schema = _resolved(content.get("schema", {}), told)
        parts.append(f"<h3>Body: <code>{html.escape(kind)}</code></h3>" + _table(_fields(schema), told))
    parts.append(f"<h3>A request</h3><pre tabindex=\"0\">{html.escape(_curl(path, method, contents, told))}</pre>")
    parts.append("<h3>Answers</h3>" + _answers(one.get("responses", {}), told))
    return (f"<details><summary><b>{method.upper()}</b> <code>{html.escape(path)}</code> "
            f'<span class="quiet">{html.escape(one.get("summary", ""))}</span></summary>'
            f'<div class="body">{"".join(parts)}</div></details>')


def _answers(responses: dict[str, Any], told: dict[str, Any]) -> str:
    rows = "".join(f"<tr><td><code>{status}</code></td><td>{html.escape(one.get('description', ''))}</td></tr>"
                   for status, one in responses.items())
    schema = responses.get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    fields = _fields(_resolved(schema, told))
    return (f'<div class="wide"><table>{rows}</table></div>'
            + (f"<h3>What comes back</h3>{_table(fields, told)}" if fields else ""))


Fields = list[tuple[str, dict[str, Any], bool, str]]


def _fields(schema: dict[str, Any]) -> Fields:
    needed = schema.get("required", [])
    return [(name, one, name in needed, one.get("description", ""))
            for name, one in schema.get("properties", {}).items()]


def _table(fields: Fields, told: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(_kind(schema, told))}"
        f"{'' if needed else ' <small>optional</small>'}</td><td>{html.escape(words)}</td></tr>"
        for name, schema, needed, words in fields)
    return f'<div class="wide"><table><tr><th>Field</th><th>Kind</th><th>Meaning</th></tr>{rows}</table></div>'


def _kind(schema: dict[str, Any], told: dict[str, Any], depth: int = 0) -> str:
    """What a field takes, in words."""
    schema = _resolved(schema, told)
    if depth > MOST_DEPTH:
        return "object"
    if "anyOf" in schema or "oneOf" in schema:
        kinds = [_kind(one, told, depth + 1) for one in schema.get("anyOf", schema.get("oneOf", []))]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), told, depth + 1)}"
    if schema.get("properties") and depth < 2:
        return f"object ({', '.join(schema['properties'])})"
    return "file" if schema.get("format") == "binary" else str(schema.get("type", "any"))


def _curl(path: str, method: str, contents: dict[str, Any], told: dict[str, Any]) -> str:
    lines = [f"curl -X {method.upper()} http://127.0.0.1:7860{path}"]
    if "application/json" in contents:
        example = _example(contents["application/json"].get("schema", {}), told)
        lines += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(example)}'"]
    elif contents:
        lines.append("-F file=@table.csv")
    return " \\\n  ".join(lines)


def _example(schema: dict[str, Any], told: dict[str, Any], depth: int = 0) -> Any:
    """The least that a schema takes."""
    schema = _resolved(schema, told)
    if depth > MOST_DEPTH:
        return {}
    for name in ("default", "const"):
        if name in schema:
            return schema[name]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if some := schema.get("anyOf") or schema.get("oneOf"):
        return _example(some[0], told, depth + 1)
    if schema.get("type") == "object" or "properties" in schema:
        return {name: _example(one, told, depth + 1) for name, one, needed, _ in _fields(schema) if needed}
    if schema.get("type") == "array":
        return [_example(schema.get("items", {}), told, depth + 1)] * max(1, schema.get("minItems", 1))
    return {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 0), "boolean": False,
            "null": None}.get(schema.get("type", "string"), "text")


def _resolved(schema: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a reference, with what stands beside it."""
    reference = schema.get("$ref")
    if not reference:
        return schema
    found: Any = told
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return {**_resolved(found, told), **{name: one for name, one in schema.items() if name != "$ref"}}
