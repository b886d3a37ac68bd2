"""The curve of a training as HTML: one or two runs' losses over their steps, readable at any width and in grey."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from train.curve import Points, Stage

MOST_POINTS = 400               # of a line; more than that nobody sees
X_TICKS, Y_TICKS = 6, 5
ROOM = 0.06                     # above the highest point and below the lowest, as a share
UNITS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One run: its name and its stages; is_other: it is drawn dashed, beside the run that the page is about."""

    name: str
    stages: Sequence[Stage]
    is_other: bool = False


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Where a step and a loss lie, in percent of the plot."""

    steps: int
    low: float
    high: float

    def x(self, step: float) -> float:
        return 100 * step / self.steps

    def y(self, loss: float) -> float:
        return 100 * (self.high - min(self.high, max(self.low, loss))) / (self.high - self.low)


def curve(lines: Sequence[Line], steps: int = 0) -> str:
    """The plot. steps: of the whole run, where that is known; "" before the first point."""
    scale = _scale(lines, steps)
    if scale is None:
        return ""
    paths = "".join(_paths(line, scale) for line in lines)
    marks = "".join(_marks(line, scale) for line in lines)
    return (f'<figure class="curve" role="img" aria-label="{escape(_words(lines))}">'
            f'<div class="y-name">loss, nats per answer token</div>'
            f'<div class="plot">{_grid(scale)}<svg viewBox="0 0 100 100" preserveAspectRatio="none" '
            f'aria-hidden="true">{paths}</svg>{marks}</div>'
            f'<div class="x-name">optimizer step</div>{_legend(lines)}</figure>')


def _scale(lines: Sequence[Line], steps: int) -> Scale | None:
    """All validation points are inside; of the training's, which jump, all but the few highest."""
    stages = [stage for line in lines for stage in line.stages]
    validation = [loss for stage in stages for _, loss in stage.points("eval", "loss")]
    training = sorted(loss for stage in stages for _, loss in stage.points("step", "loss"))
    seen = [*validation, *training[:max(1, round(len(training) * 0.98))]]
    if not seen:
        return None
    low, high = min(seen), max(seen)
    room = (high - low) * ROOM or max(abs(high), 1e-3) * ROOM
    return Scale(steps=max(steps, 1, *(stage.end() for stage in stages)), low=low - room, high=high + room)


def _paths(line: Line, scale: Scale) -> str:
    other = " other" if line.is_other else ""
    parts = []
    for stage in line.stages:
        for kind, name in (("step", "training"), ("eval", "validation")):
            points = thinned(stage.points(kind, "loss"))
            if len(points) > 1:
                place = " ".join(f"{scale.x(step):.2f},{scale.y(loss):.2f}" for step, loss in points)
                parts.append(f'<polyline class="{name}{other}" points="{place}"/>')
    return "".join(parts)


def _marks(line: Line, scale: Scale) -> str:
    """A dot for each evaluation, a star at the one that was kept, the name of each stage where it begins."""
    other = " other" if line.is_other else ""
    parts = []
    for stage in line.stages:
        kept = stage.kept()
        for step, loss in stage.points("eval", "loss"):
            is_kept = kept is not None and step == stage.start + kept and kept > 0
            words = f"{line.name}, step {step:,}: {loss:.3f}" + (", kept" if is_kept else "")
            parts.append(f'<i class="{"best" if is_kept else "dot"}{other}" title="{escape(words)}" '
                         f'style="{_at(scale, step, loss)}">{"★" if is_kept else ""}</i>')
            if is_kept:
                side = " left" if scale.x(step) > 75 else ""
                parts.append(f'<b class="kept{side}{other}" style="{_at(scale, step, loss)}">{loss:.3f}</b>')
        if stage.name and not line.is_other:
            parts.append(f'<u style="left:{scale.x(stage.start):.2f}%">{escape(stage.name)}</u>')
    return "".join(parts)


def _at(scale: Scale, step: float, loss: float) -> str:
    return f"left:{scale.x(step):.2f}%;top:{scale.y(loss):.2f}%"


def _grid(scale: Scale) -> str:
    """Lines and figures of both axes."""
    rows = "".join(f'<span class="y" style="top:{scale.y(value):.2f}%">{value:g}</span>'
                   for value in ticks(scale.low, scale.high, Y_TICKS))
    columns = "".join(f'<span class="x" style="left:{scale.x(value):.2f}%">{value:,.0f}</span>'
                      for value in ticks(0, scale.steps, X_TICKS) if value == round(value))
    return rows + columns


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round figures between low and high, no more than most."""
    power = 10.0 ** _exponent((high - low) / most)
    step = next(power * unit for unit in UNITS if (high - low) / (power * unit) <= most)
    first = -(-low // step)
    count = int((high - first * step) / step + 1e-9) + 1
    return [round((first + k) * step, 10) for k in range(count)]


def _exponent(value: float) -> int:
    import math
    return math.floor(math.log10(value))


def thinned(points: Points) -> Points:
    """No more points than can be seen: of each stretch its mean, at its middle."""
    if len(points) <= MOST_POINTS:
        return points
    found = []
    for k in range(MOST_POINTS):
        part = points[k * len(points) // MOST_POINTS:(k + 1) * len(points) // MOST_POINTS]
        found.append((part[len(part) // 2][0], sum(loss for _, loss in part) / len(part)))
    return found


def _legend(lines: Sequence[Line]) -> str:
    has_other = len(lines) > 1
    parts = []
    for line in lines:
        other, name = (" other", f" of {escape(line.name)}") if line.is_other else ("", "")
        name = name or (" of this run" if has_other else "")
        parts.append(f'<span><s class="validation{other}"></s>validation{name}</span>'
                     f'<span><s class="training{other}"></s>training{name}, each step</span>')
    return f'<figcaption>{"".join(parts)}<span>★ the adapter that is kept</span></figcaption>'


def _words(lines: Sequence[Line]) -> str:
    """What the plot shows, for who can not see it."""
    parts = []
    for line in lines:
        points = [point for stage in line.stages for point in stage.points("eval", "loss")]
        if points:
            best = min(points, key=lambda point: point[1])
            parts.append(f"{line.name}: validation loss {points[0][1]:.3f} at step {points[0][0]:,}, "
                         f"{points[-1][1]:.3f} at step {points[-1][0]:,}, lowest {best[1]:.3f} at step {best[0]:,}.")
    return " ".join(parts) or "Training loss over the steps."
