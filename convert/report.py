"""The check's report: report.json for programs, beside it report.html for people.

The page asks for nothing from elsewhere and runs no script.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from convert.check import GREEN, GREY, KL, RED
from convert.config import ADAPTER
from convert.plot import Point, svg
from models import runs
from models.errors import UserError
from models.page import page as frame
from models.page import table

PAGE = "report.html"
CSS = Path(__file__).with_suffix(".css")
MARKS = {GREEN: "✓ green", RED: "✗ red", GREY: "– not compared"}
READING = (
    "Loss is the mean KL divergence (in nats a token) of the file's predictions from those of the original model with "
    "its adapters, computed in 32-bit floats over the same text. 0 is the same model; each type has a limit that was "
    "fixed before anything was measured. A green file passed every check below that applies to it; a red one failed "
    "those that are marked. Where the reference ends its greedy answer within 256 tokens, F32, F16 and BF16 must end "
    "their own; another type may word it otherwise, and then counts if it ends where the reference's does: Q8_0 in "
    "every answer; a smaller type may miss one answer in four. Each must end at least one by itself.")
ROWS = (                                # key of about, how a person calls it
    ("base", "Base model"), ("adapters", "Adapters"), ("heldout", "Held-out rows"), ("reference", "Reference pass"),
    ("importance", "Importance matrix"), ("machine", "Machine"), ("llama_cpp_python", "llama-cpp-python"))

NAMES = {"peak_mb": "most memory, MB", "is_layerwise": "layer by layer", "is_apart": "on rows that are not compared",
         "text": "made of", "refused_rows": "held-out rows left out, refused by the chat template"}

Json = Mapping[str, Any]


def write(folder: Path, about: Json, files: Sequence[Json]) -> None:
    """Write both into folder: what is said of files, and what an earlier report says of others still there.

    about: "title", and what stands in ROWS, each a text, a number, a list, a table of such, or None. Raises UserError
    if the earlier report is damaged, or the disk is full.
    """
    path, names = folder / runs.REPORT, {one["name"] for one in files}
    kept = [one for one in _earlier(path) if one["name"] not in names and (folder / one["name"]).is_file()]
    report = {**about, "files": [*kept, *files]}
    runs.write_json(path, report)
    with runs.whole_file(folder / PAGE) as part:
        part.write_bytes(page(report).encode("utf-8", "backslashreplace"))


def check_place(folder: Path) -> None:
    """Raise UserError if a report.json lies in folder that write() would refuse; to be asked before the work."""
    _earlier(folder / runs.REPORT)


def _earlier(path: Path) -> list[Json]:
    values = runs.read_json(path) if path.is_file() else {"files": []}
    files = values.get("files") if isinstance(values, dict) else None
    if not isinstance(files, list) or not all(isinstance(one, dict) and "name" in one for one in files):
        raise UserError(f"{path} is no report of an export; move it away.")
    return files


def page(report: Json) -> str:
    """The page of a report."""
    files, title = report["files"], str(report.get("title") or "Export")
    body = [f"<h1>{escape(title)}: check of the exported files</h1>", _verdict(files), _summary(files),
            _figure(files), _gains(files), "<h2>Every check</h2>", *map(_details, files),
            "<h2>What was measured with what</h2>", _about(report),
            f"<h2>How to read this</h2><p>{escape(READING)}</p>"]
    return frame(f"{title}: check", body, CSS.read_text(encoding="utf-8"))


def _verdict(files: Sequence[Json]) -> str:
    count = {status: sum(one.get("status") == status for one in files) for status in MARKS}
    parts = [f'<span class="mark {status}">{count[status]} {escape(MARKS[status])}</span>'
             for status in MARKS if count[status]]
    reasons = "".join(f"<p><code>{escape(str(one['name']))}</code>: {escape(_reason(check))}</p>" for one in files
                      for check in one.get("checks") or () if check.get("is_ok") is False)
    forced = [str(one["name"]) for one in files if one.get("is_forced")]
    note = f" Published although red, because it was told to: {escape(', '.join(forced))}." if forced else ""
    return f"<p>{' · '.join(parts) or 'No files.'}{note}</p>{reasons}"


def _reason(check: Json) -> str:
    limit = "" if check.get("limit") is None else f" (limit {_number(check['limit'])})"
    note = f"; {check['note']}" if check.get("note") else ""
    return f"{check.get('name')} = {_number(check.get('figure'))}{limit}{note}"


def _summary(files: Sequence[Json]) -> str:
    heads = ["File", "Check", "Size", "Loss (KL)", "Same first choice", "Perplexity", "Prompt", "Answer", "Load"]
    kinds = ["name", "", *["number"] * 7]
    rows = []
    for one in files:
        status, kl = str(one.get("status") or GREY), _check(one, KL)
        cells = [f"<code>{escape(str(one['name']))}</code>" + ("<small>with importance matrix</small>"
                                                                if one.get("has_importance") else ""),
                 f'<span class="mark {escape(status)}">{MARKS.get(status, "")}</span>', _size(one["bytes"]),
                 _number(kl.get("figure")) + (f"<small>limit {kl['limit']:g}</small>" if kl.get("limit") else ""),
                 _share(_check(one, "top-1 agreement").get("figure")),
                 _ratio(_check(one, "perplexity ratio").get("figure")),
                 _speed(one.get("prompt_tokens_per_s")), _speed(one.get("generated_tokens_per_s")),
                 _number(one.get("load_s"), " s")]
        rows.append(cells)
    return table(heads, kinds, rows)


def _figure(files: Sequence[Json]) -> str:
    points = [Point(label=str(one.get("type", "")), size_mb=one["bytes"] / 1e6, loss=kl["figure"], limit=kl["limit"],
                    colour=RED if one.get("status") == RED else GREEN, is_filled=bool(one.get("has_importance")))
              for one in files if one.get("type") != ADAPTER         # which is no whole model: its size says nothing
              and (kl := _check(one, KL)).get("figure") is not None and kl.get("limit")]
    if not points:
        return ""
    return (f"<h2>Size against loss</h2><figure>{svg(points)}<figcaption>Lower is nearer to the original, further left "
            "is smaller. The dash at the end of each dotted line is the type's limit; a filled dot was made with an "
            "importance matrix.</figcaption></figure>")


def _gains(files: Sequence[Json]) -> str:
    """Loss with and without an importance matrix, of the types that stand here both ways on the same text."""
    found: dict[tuple[str, str], dict[bool, Json]] = {}
    for one in files:
        if _check(one, KL).get("figure") is not None:
            where = str(sorted((one.get("compared") or {}).items()))
            found.setdefault((str(one.get("type")), where), {})[bool(one.get("has_importance"))] = one
    heads, rows = ["Type", "Loss without", "Loss with", "Change"], []
    for (kind, _), both in found.items():
        if len(both) == 2:
            without, matrix = (_check(both[has], KL)["figure"] for has in (False, True))
            change = f"{matrix / without - 1:+.1%}" if without else "–"
            rows.append([escape(kind), _number(without), _number(matrix), change])
    kinds = ["", "number", "number", "number"]
    return "<h2>What the importance matrix brought</h2>" + table(heads, kinds, rows) if rows else ""


def _details(one: Json) -> str:
    status = str(one.get("status") or GREY)
    heads, rows = ["Check", "Result", "Found", "Limit"], []
    for check in one.get("checks") or ():
        mark, colour = _mark(check)
        note = f"<small>{escape(str(check.get('note') or ''))}</small>" if check.get("note") else ""
        limit = check.get("limit")
        rows.append([escape(str(check.get("name"))) + note, f'<span class="mark {colour}">{mark}</span>',
                     _number(check.get("figure")), _number(limit) if limit is not None else ""])
    parts = [f"{escape(kind)}: {held['tensors']} tensors, {_size(held['bytes'])}"
             for kind, held in (one.get("mix") or {}).items()]
    mixed = f"<p>Types within the file: {'; '.join(parts)}.</p>" if parts else ""
    compared = one.get("compared") or {}
    text = (f"<p>Compared over {compared['tokens']:,} tokens, {compared.get('heldout_tokens', 0):,} of them of the "
            "held-out rows, the others of built-in text and the reference's own answers.</p>" if compared else "")
    is_open = " open" if status == RED else ""
    return (f'<details{is_open}><summary><span class="mark {escape(status)}">{MARKS.get(status, "")}</span> '
            f"<code>{escape(str(one['name']))}</code></summary><div>"
            f"{table(heads, ['name', '', 'number', 'number'], rows)}{mixed}{text}</div></details>")


def _mark(check: Json) -> tuple[str, str]:
    if check.get("is_ok") is not None:
        return ("✓", GREEN) if check["is_ok"] else ("✗", RED)
    return ("does not apply", GREY) if check.get("figure") is None else ("for information", GREY)


def _about(report: Json) -> str:
    items = "".join(f"<dt>{escape(label)}</dt><dd>{_value(report.get(key))}</dd>" for key, label in ROWS
                    if key in report)
    return f"<dl>{items}</dl>"


def _value(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, Mapping):
        names = {key: NAMES.get(str(key), str(key).replace("_", " ")) for key in value}
        return "<br>".join(f"{escape(names[key])}: {_value(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return "<br>".join(map(_value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escape(str(value))


def _check(one: Json, name: str) -> Json:
    return next((check for check in one.get("checks") or () if check.get("name") == name), {})


def _number(value: Any, unit: str = "") -> str:
    if value is None:
        return "–"
    return (f"{value:,}" if isinstance(value, int) else f"{value:.3g}") + unit


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}×"


def _speed(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}<small>tokens/s</small>"


def _size(count: int) -> str:
    if count < 1e6:
        return f"{count / 1e3:,.1f} kB"
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
