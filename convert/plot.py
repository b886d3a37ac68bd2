"""A small SVG: the size of each file against its loss."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 420                # narrow: on a telephone its letters are still nine pixels high
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 30, 44
FLOOR = 1e-8                            # a loss below it is drawn there; both axes are logarithmic
LETTER, LINE = 7.4, 14                  # about as wide and high as a label's letters
DOT = 5


@dataclass(frozen=True, kw_only=True)
class Point:
    """One file. is_filled: made with an importance matrix."""
    label: str
    size_mb: float
    loss: float
    limit: float
    colour: str                         # "green" or "red"
    is_filled: bool

    @property
    def title(self) -> str:
        """What a pointer that rests on it reads."""
        matrix = ", with importance matrix" if self.is_filled else ""
        size = f"{self.size_mb:,.1f} MB" if self.size_mb >= 1 else f"{1000 * self.size_mb:,.1f} kB"
        return f"{self.label}: {size}, loss {self.loss:.2g} (limit {self.limit:g}){matrix}"


Box = tuple[float, float, float, float]         # left, top, right, bottom


def svg(points: Sequence[Point]) -> str:
    """The picture. The dash above or below a dot is the limit of its type."""
    losses = [max(value, FLOOR) for point in points for value in (point.loss, point.limit)]
    low, high = math.floor(math.log10(min(losses))), math.ceil(math.log10(max(losses)))
    sizes = [point.size_mb for point in points]
    small, large = math.log(min(sizes) / 1.25), math.log(max(sizes) * 1.25)

    def x(size: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(size) - small) / (large - small)

    def y(loss: float) -> float:
        share = (math.log10(max(loss, FLOOR)) - low) / (high - low)
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Size of each file against its loss">']
    for power in range(low, high + 1):
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(10.0**power):.1f}" '
                     f'y2="{y(10.0**power):.1f}"/>{_text(LEFT - 8, y(10.0**power) + 4, _power(power), "end", "tick")}')
    for size in _ticks(math.exp(small), math.exp(large)):
        parts.append(_text(x(size), HEIGHT - BOTTOM + 18, f"{size:,g}", "middle", "tick"))
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 8, "size, MB", "end", "tick"))
    parts.append(_text(4, 13, "mean KL divergence, nats", "start", "tick"))
    taken: list[Box] = [(x(p.size_mb) - DOT, y(p.loss) - DOT, x(p.size_mb) + DOT, y(p.loss) + DOT) for p in points]
    taken += [(x(p.size_mb) - DOT, y(p.limit) - 2, x(p.size_mb) + DOT, y(p.limit) + 2) for p in points]
    named = {point.label: point for point in sorted(points, key=lambda one: one.loss)}     # the worst of each type
    labels = [_label(label, x(point.size_mb), y(point.loss), taken) for label, point in reversed(named.items())]
    for point in points:
        parts += _drawn(point, x(point.size_mb), y(point.loss), y(point.limit))
    parts += labels
    return "".join([*parts, "</svg>"])


def _drawn(point: Point, at: float, loss: float, limit: float) -> list[str]:
    filled = " filled" if point.is_filled else ""
    return [f'<line class="drop" x1="{at:.1f}" x2="{at:.1f}" y1="{loss:.1f}" y2="{limit:.1f}"/>',
            f'<line class="limit" x1="{at - 6:.1f}" x2="{at + 6:.1f}" y1="{limit:.1f}" y2="{limit:.1f}"/>',
            f'<circle class="dot {point.colour}{filled}" cx="{at:.1f}" cy="{loss:.1f}" r="{DOT}">'
            f'<title>{escape(point.title)}</title></circle>']


def _label(text: str, x: float, y: float, taken: list[Box]) -> str:
    """The label where it hides nothing that is there already, if there is such a place; a line leads to a far one."""
    places = list(_places(len(text) * LETTER, x, y))
    box, anchor, at = next((place for place in places if not any(_meet(place[0], other) for other in taken)), places[0])
    taken.append(box)
    middle, edge = (box[1] + box[3]) / 2, box[0] if anchor == "start" else box[2]
    is_far = abs(middle - y) > LINE or abs(edge - x) > 3 * DOT
    line = (f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{edge:.1f}" y2="{middle:.1f}"/>' if is_far else "")
    return line + _text(at, box[3] - 3, text, anchor, "")


def _places(width: float, x: float, y: float) -> Iterator[tuple[Box, str, float]]:
    """(box, anchor, x) of places for a label around a dot, the nearest first."""
    for out in (DOT + 5, DOT + 32, DOT + 60, DOT + 90):
        for step in range(9):
            top = y - LINE / 2 + LINE * (step // 2 + step % 2) * (-1 if step % 2 else 1)
            for anchor, left in (("end", x - out - width), ("start", x + out)):
                if left >= LEFT + 2 and left + width <= WIDTH - 2 and TOP - LINE < top < HEIGHT - BOTTOM - LINE:
                    yield (left, top, left + width, top + LINE), anchor, left + width if anchor == "end" else left
    yield (WIDTH - 4 - width, y - LINE, WIDTH - 4, y), "end", WIDTH - 4.0


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _ticks(least: float, most: float) -> list[float]:
    """Round numbers between least and most, at most eight of them."""
    found = [digit * 10.0**power for power in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
             for digit in (1, 1.5, 2, 3, 4, 5, 7)]
    within = [size for size in found if least <= size <= most]
    return within[::-(-len(within) // 8)] if within else []


def _power(power: int) -> str:
    return f"{10.0**power:g}" if power >= -4 else f"1e{power}"


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
