"""The preview as one HTML page that needs nothing else: no script, light and dark, everything from data escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ground: #FAFAF7; --surface: #FFFFFF; --line: #E4E4DD; --ink: #1B2625;
  --muted: #5C6B69; --accent: #0F766E; --danger: #B91C1C; --learned: #CDEDE6; --learned-2: #B9E3DA; }
@media (prefers-color-scheme: dark) { :root { --ground: #0F1514; --surface: #171F1E; --line: #2A3533;
  --ink: #E5ECEA; --muted: #93A3A0; --accent: #2DD4BF; --danger: #F87171; --learned: #134A43; --learned-2: #1B5A52; } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 24px 16px 64px; font-variant-numeric: tabular-nums; }
h1 { font-size: 28px; margin: 0 0 8px; } h2 { font-size: 20px; margin: 32px 0 8px; }
h3 { font-size: 16px; margin: 0; } p { margin: 4px 0; } .quiet { color: var(--muted); font-size: 13px; }
section { background: var(--surface); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px;
  margin: 12px 0; }
.tokens { white-space: pre-wrap; overflow-wrap: anywhere; margin-top: 8px; }
.tokens span, .tokens b, .tokens del { border-radius: 3px; }
.context, .control { color: var(--muted); }
.context + .context, .control + .context { border-left: 1px solid var(--line); }
.control { border: 1px solid var(--line); font-size: 13px; }
.learned { background: var(--learned); } .learned:nth-child(even) { background: var(--learned-2); }
.end { background: var(--accent); color: var(--surface); font-size: 13px; padding: 0 4px; }
del { color: var(--danger); text-decoration: line-through; }
table { border-collapse: collapse; font-size: 13px; } th, td { border-bottom: 1px solid var(--line); padding: 4px 8px;
  text-align: left; vertical-align: top; overflow-wrap: break-word; max-width: 320px; } summary { cursor: pointer; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--muted); font-size: 12px; }
svg rect { fill: var(--accent); } svg .over { fill: var(--danger); } svg line { stroke: var(--danger); }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
END_MARK = "\u25a0"
WIDTH, HEIGHT, FOOT = 800, 160, 22          # of the histogram's picture


def page(preview: Mapping[str, Any]) -> str:
    """The page. preview: what train/preview.py writes as preview.json."""
    title = f"What {preview['recipe'] or 'this run'} will learn from"
    body = "".join(_stage(stage, len(preview["stages"]) > 1) for stage in preview["stages"])
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
            f"<p>Base model: {escape(preview['base'])}</p>{legend()}{body}</main></body></html>\n")


def legend() -> str:
    """What the marks of a sample mean."""
    return ('<section class="tokens"><span class="context">grey: context, read only</span>  '
            '<span class="learned">coloured: learned</span>  '
            f'<b class="end">{END_MARK}</b> the end of a turn, learned as well  '
            '<del>struck: cut out of a long input, not in the sample</del></section>')


def _stage(stage: Mapping[str, Any], has_name: bool) -> str:
    name = f"<h2>{escape(stage['name'])}</h2>" if has_name else ""
    lines = [counted(stage), stage["cut_words"], *stage["tables"]]
    return (name + "".join(f"<p>{escape(line)}</p>" for line in lines if line)
            + "".join(_finding(one) for one in [*stage["findings"], *_too_long(stage)])
            + histogram(stage["lengths"], stage["max_len"]) + "".join(sample_part(one) for one in stage["samples"]))


def counted(stage: Mapping[str, Any]) -> str:
    """A stage's counts as a sentence."""
    share = 100 * stage["learned"] / stage["tokens"]
    left_out = f", {stage['left_out']:,} left out" if stage["left_out"] else ""
    return (f"{stage['rows']:,} rows to learn from, {stage['validation_rows']:,} for validation, "
            f"{stage['test_rows']:,} set aside{left_out}. {stage['tokens']:,} tokens a pass; "
            f"{stage['learned']:,} of them ({share:.0f}%) are learned.")


def _too_long(stage: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = stage["too_long"]
    text = "Rows that can not be written as a sample are left out, each for its reason."
    return [{"text": text, "rows": rows}] if rows else []


def _finding(found: Mapping[str, Any]) -> str:
    """What a step of reading and cleaning found, with its rows folded away."""
    if not found["rows"]:
        return f"<p>{escape(found['text'])}</p>"
    names = list(dict.fromkeys(name for row in found["rows"] for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(row.get(name, '')))}</td>" for name in names) + "</tr>"
                   for row in found["rows"])
    return (f"<details><summary>{escape(found['text'])}</summary><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></details>")


def about(sample: Mapping[str, Any]) -> str:
    """Where a sample comes from and how long it is, as a sentence."""
    was = f" ({sample['whole_tokens']:,} uncut)" if sample["whole_tokens"] > sample["tokens"] else ""
    return (f"{sample['file']}, line {sample['line']}: {sample['tokens']:,} tokens{was}, "
            f"{sample['learned']:,} of them learned.")


def sample_part(sample: Mapping[str, Any]) -> str:
    """One sample, token by token."""
    why = ", ".join(sample["why"])
    return (f"<section><h3>{escape(why[:1].upper() + why[1:])}</h3>"
            f'<p class="quiet">{escape(about(sample))}</p>'
            f'<div class="tokens">{"".join(_piece(piece) for piece in sample["pieces"])}</div></section>')


def _piece(piece: Mapping[str, Any]) -> str:
    text = escape(piece["text"]).replace("\n", "\u21b5\n").replace("\t", "\u2192\t")
    if piece["kind"] == "cut":
        return f"<del>{text}</del>"
    ids = " ".join(map(str, piece["ids"]))
    if piece["kind"] == "end":
        return f'<b class="end" title="{ids}">{text} {END_MARK}</b>'
    return f'<span class="{escape(piece["kind"])}" title="{ids}">{text}</span>'


def histogram(lengths: Mapping[str, Any], max_len: int) -> str:
    """Bars of how many samples are how long uncut; those that are cut stand in the danger colour."""
    counts: Sequence[int] = lengths["counts"]
    width, most = WIDTH / len(counts), max(counts)
    bars = []
    for k, count in enumerate(counts):
        height = (HEIGHT - 2 * FOOT) * count / most
        low, high = k * lengths["step"] + 1, (k + 1) * lengths["step"]
        over = ' class="over"' if low > max_len else ""
        top = HEIGHT - FOOT - height
        bars.append(f'<rect{over} x="{k * width + 1:.1f}" y="{top:.1f}" width="{max(1, width - 2):.1f}" '
                    f'height="{height:.1f}"><title>{low:,} to {high:,} tokens: {count:,}</title></rect>'
                    f'<text x="{(k + 0.5) * width:.1f}" y="{top - 4:.1f}" text-anchor="middle">{count or ""}</text>'
                    f'<text x="{(k + 1) * width:.1f}" y="{HEIGHT - 6}" text-anchor="end">{high:,}</text>')
    at = max_len / lengths["step"] * width
    limit = (f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{HEIGHT - FOOT}"/>' if at < WIDTH else "")
    return (f'<section><h3>Lengths in tokens, uncut</h3><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="How many samples have how many tokens">{"".join(bars)}{limit}</svg>'
            f'<p class="quiet">A sample may have {max_len:,} tokens (max_len).</p></section>')
