"""The pictures of a report as SVG: figures with whiskers, confidence against truth, what was said for what."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 480                         # narrow: on a telephone its letters are still nine pixels high
SIDE, AXIS = 12, 34                 # left and right of the plot; below it, where its axis is named
ROW, LINE, HEAD = 34, 17, 12        # heights
DOT, CAP = 5, 4
LETTER = 7.2                        # about as wide as a label's letters
TICKS = 6
MOST_ROWS, MOST_LABELS = 40, 14
SHADE = 0.45                        # at most, so that a number on it can be read
SQUARE = 330                        # the side of the reliability curve
LABEL_CHARS = 18
SHAPES = ("first", "second")        # a filled circle and an empty square: they differ in grey, too

Shown = Callable[[float], str]


@dataclass(frozen=True, kw_only=True)
class Whisker:
    """A figure of n items. name: "" where it goes on from the row above; shape: 0 of the model, 1 of the other one."""

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    shape: int = 0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The reliability curve of a model: (confidence, share right, low, high, n) of each bin."""

    name: str
    points: Sequence[tuple[float, float, float | None, float | None, int]]
    shape: int = 0


def whiskers(title: str, rows: Sequence[Whisker], lines: Sequence[tuple[str, float]], axis: str, shown: Shown,
             is_bars: bool = False) -> str:
    """Figures with their intervals, one below the other. lines: what a trivial answer gets, drawn through all rows.

    shown: a figure as text. is_bars: from zero on.
    """
    rows = rows[:MOST_ROWS]
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
    low, high, step = _range([*ends, *(value for _, value in lines), *([0.0] if is_bars else [])])

    def x(value: float) -> float:
        return SIDE + (WIDTH - 2 * SIDE) * (value - low) / (high - low)

    top = HEAD + LINE * len(lines)
    bottom = top + ROW * len(rows)
    parts = [_axis(x, (low, high, step), (top, bottom), axis, shown)]
    for k, (name, value) in enumerate(lines):
        parts.append(_line(name, shown(value), x(value), HEAD + LINE * k, bottom, is_first=k == 0))
    for k, row in enumerate(rows):
        parts += _row(row, x, top + ROW * k, shown, x(low) if is_bars else None)
    return _svg(title, bottom + AXIS, parts)


def _line(name: str, value: str, at: float, top: float, bottom: float, is_first: bool) -> str:
    anchor = "start" if at < WIDTH / 2 else "end"
    room = int((WIDTH - at if anchor == "start" else at) / LETTER) - len(value) - 5
    return (f'<line class="{"trivial" if is_first else "trivial other"}" x1="{at:.1f}" x2="{at:.1f}" y1="{top:.1f}" '
            f'y2="{bottom:.1f}"/>'
            + _text(at + (4 if anchor == "start" else -4), top + 11, f"{_cut(name, room)} {value}", anchor, "tick"))


def _row(row: Whisker, x: Callable[[float], float], top: float, shown: Shown, zero: float | None) -> list[str]:
    at, middle = x(row.value), top + 24
    value = f"{shown(row.value)} (n = {row.n:,})"
    parts = [_text(SIDE, top + 12, _cut(row.name, int((WIDTH - 2 * SIDE) / LETTER) - len(value) - 2), "start", ""),
             _text(WIDTH - SIDE, top + 12, value, "end", "tick")]
    if zero is not None:
        parts.append(f'<rect class="bar {SHAPES[row.shape]}" x="{zero:.1f}" y="{middle - 5:.1f}" '
                     f'width="{max(at - zero, 0):.1f}" height="10"/>')
    if row.low is not None and row.high is not None:
        parts += [_stroke(x(row.low), middle, x(row.high), middle),
                  *(_stroke(x(end), middle - CAP, x(end), middle + CAP) for end in (row.low, row.high))]
    return [*parts, _dot(at, middle, row.shape, f"{row.name}: {value}")]


def _stroke(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="whisker" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dot(x: float, y: float, shape: int, title: str) -> str:
    name, title = SHAPES[shape], f"<title>{_safe(title)}</title>"
    if shape:
        return (f'<rect class="dot {name}" x="{x - DOT:.1f}" y="{y - DOT:.1f}" width="{2 * DOT}" height="{2 * DOT}">'
                f"{title}</rect>")
    return f'<circle class="dot {name}" cx="{x:.1f}" cy="{y:.1f}" r="{DOT}">{title}</circle>'


def _axis(x: Callable[[float], float], scale: tuple[float, float, float], ends: tuple[float, float], name: str,
          shown: Shown) -> str:
    low, high, step = scale
    parts = []
    for k in range(round((high - low) / step) + 1):
        at = x(low + k * step)
        anchor = "start" if at < 3 * SIDE else "end" if at > WIDTH - 3 * SIDE else "middle"
        parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>'
                     + _text(at, ends[1] + 15, shown(round(low + k * step, 10)), anchor, "tick"))
    return "".join([*parts, _text(WIDTH - SIDE, ends[1] + 30, name, "end", "tick")])


def _range(values: Sequence[float]) -> tuple[float, float, float]:
    """(low, high, step) of round numbers around all values."""
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    raw = spread / (TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= raw * 0.999)
    start, end = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return start, end if end > start else start + step, step


def reliability(title: str, curves: Sequence[Curve]) -> str:
    """How often answers are right against how sure the model was; on the diagonal it can be believed."""
    left, top = 44, 14 + LINE * len(curves)

    def x(share: float) -> float:
        return left + SQUARE * share

    def y(share: float) -> float:
        return top + SQUARE * (1 - share)

    parts = [f'<line class="trivial" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>']
    for k in range(6):
        parts += [f'<line class="axis" x1="{x(0):.1f}" x2="{x(1):.1f}" y1="{y(k / 5):.1f}" y2="{y(k / 5):.1f}"/>',
                  _text(left - 6, y(k / 5) + 4, f"{k / 5:.0%}", "end", "tick"),
                  _text(x(k / 5), y(0) + 16, f"{k / 5:.0%}", "middle", "tick")]
    parts += [_text(x(1), y(0) + 32, "how sure the model was", "end", "tick")]
    for k, curve in enumerate(curves):
        parts += [_dot(SIDE, 6 + LINE * k, curve.shape, curve.name),
                  _text(SIDE + 12, 10 + LINE * k, f"{_cut(curve.name, 42)}: share right", "start", "tick"),
                  *_curve(curve, x, y)]
    return _svg(title, top + SQUARE + AXIS, parts)


def _curve(curve: Curve, x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    places = " ".join(f"{x(sure):.1f},{y(right):.1f}" for sure, right, *_ in curve.points)
    parts = [f'<polyline class="curve {SHAPES[curve.shape]}" points="{places}"/>']
    for sure, right, low, high, n in curve.points:
        if low is not None and high is not None:
            parts.append(_stroke(x(sure), y(low), x(sure), y(high)))
        title = f"{curve.name}: {sure:.0%} sure, {right:.0%} right, n = {n:,}"
        parts.append(_dot(x(sure), y(right), curve.shape, title))
    return parts


def matrix(title: str, rows: Sequence[str], columns: Sequence[str], counts: dict[tuple[str, str], int]) -> str:
    """Counts of (row, column), each shaded by its share of its row."""
    left, head = 128, 40 + LETTER * min(LABEL_CHARS - 4, max(map(len, columns)))
    cell = min(44.0, (WIDTH - left - SIDE) / len(columns))
    parts = [_text(left - 6, head - 8, "right label", "end", "tick"), _text(left, 14, "said", "start", "tick")]
    for k, name in enumerate(columns):
        at = left + cell * (k + 0.5) + 4
        parts.append(f'<text class="tick" transform="translate({at:.1f} {head - 8:.1f}) rotate(-90)">'
                     f"{_safe(_cut(name, LABEL_CHARS - 4))}</text>")
    for k, row in enumerate(rows):
        total = sum(counts.get((row, column), 0) for column in columns)
        top = head + cell * k
        parts.append(_text(left - 6, top + cell / 2 + 4, _cut(row, LABEL_CHARS - 2), "end", "tick"))
        for j, column in enumerate(columns):
            n = counts.get((row, column), 0)
            parts.append(f'<rect class="cell" x="{left + cell * j:.1f}" y="{top:.1f}" width="{cell:.1f}" '
                         f'height="{cell:.1f}" fill-opacity="{SHADE * n / total if total else 0:.3f}">'
                         f"<title>{_safe(f'{row}, said {column}: {n:,} of {total:,}')}</title></rect>")
            if n:
                parts.append(_text(left + cell * (j + 0.5), top + cell / 2 + 4, f"{n}", "middle", "count"))
    return _svg(title, head + cell * len(rows) + SIDE, parts)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{_safe(title)}">'
            f'{"".join(parts)}</svg>')


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_safe(text)}</text>'


def _cut(text: str, chars: int) -> str:
    """text without its middle where it is longer: names differ at their ends."""
    chars = max(chars, 5)
    if len(text) <= chars:
        return text
    end = (chars - 1) * 2 // 5
    return f"{text[:chars - 1 - end]}…{text[-end:]}"


def _safe(text: str) -> str:
    """text that is no mark-up, and that no control character turns into something else."""
    return escape("".join(letter if letter.isprintable() else " " for letter in text))
