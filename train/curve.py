"""The picture of a run: both losses and the adapter that was kept, below them what else each step was measured by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import runs

ACCENT, MUTED, INK, LINE = "#0F766E", "#5C6B69", "#1B2625", "#E4E4DD"
METRICS = {"rouge_l": "ROUGE-L", "macro_f1": "macro F1", "accuracy": "accuracy"}
BELOW = {"lr": "learning rate", "grad_norm": "gradient norm", "tokens_per_s": "tokens a second",
         "memory_mb": "memory, MB"}
Points = list[tuple[int, float]]


@dataclass
class Stage:
    """The events of one stage by their step; start: the steps of the run before its first."""

    name: str
    start: int
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    evals: dict[int, dict[str, Any]] = field(default_factory=dict)

    def points(self, kind: str, name: str) -> Points:
        """(step of the run, value) of one field of its "step" or "eval" events, in order."""
        rows = self.steps if kind == "step" else self.evals
        return [(self.start + step, rows[step][name]) for step in sorted(rows) if rows[step].get(name) is not None]

    def end(self) -> int:
        """The last step, counted over the run."""
        return self.start + max([*self.steps, *self.evals], default=0)

    def kept(self) -> int | None:
        """The step after which the adapter that was kept was evaluated; None if none was."""
        trained = [step for step in sorted(self.evals) if step > 0]
        metric = next((name for name in METRICS if trained and name in self.evals[trained[0]]), "")
        if metric:
            return max(trained, key=lambda step: self.evals[step].get(metric, 0.0))
        return min(trained, key=lambda step: self.evals[step]["loss"], default=None)


def stages_of(events: Sequence[dict[str, Any]]) -> list[Stage]:
    """The stages of a run, at least one. What came after the step at which a run was resumed never was."""
    found: dict[str, Stage] = {}
    for event in events:
        if event["kind"] not in ("step", "eval", "resume"):
            continue
        name = str(event.get("stage") or "")
        if name not in found:
            found[name] = Stage(name, max((one.end() for one in found.values()), default=0))
        stage = found[name]
        if event["kind"] == "resume":
            stage.steps = {step: one for step, one in stage.steps.items() if step <= event["step"]}
            stage.evals = {step: one for step, one in stage.evals.items() if step <= event["step"]}
        else:
            (stage.steps if event["kind"] == "step" else stage.evals)[event["step"]] = event
    return [*found.values()] or [Stage("", 0)]


def draw(events: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the "step" and "eval" events of a run as a PNG; the file appears whole or not at all."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    stages = stages_of(events)
    known = [("eval", *one) for one in METRICS.items()] + [("step", *one) for one in BELOW.items()]
    below = [one for one in known if any(stage.points(*one[:2]) for stage in stages)]
    figure = pyplot.figure(figsize=(8, 6.2 if below else 4.5), dpi=120, layout="constrained")
    grid = figure.add_gridspec(2 if below else 1, max(1, len(below)), height_ratios=[3, 1] if below else [1])
    _losses(figure.add_subplot(grid[0, :]), stages)
    for k, (kind, name, label) in enumerate(below):
        _small(figure.add_subplot(grid[1, k]), [stage.points(kind, name) for stage in stages], label,
               ACCENT if kind == "eval" else MUTED)
    with runs.whole_file(path) as part:
        figure.savefig(part, format="png")
    pyplot.close(figure)


def _losses(axes: Any, stages: Sequence[Stage]) -> None:
    for k, stage in enumerate(stages):
        training, validation = stage.points("step", "loss"), stage.points("eval", "loss")
        _line(axes, training, color=MUTED, linewidth=0.7, alpha=0.8, label="" if k else "training, each step")
        _line(axes, validation, color=ACCENT, linewidth=2.6, marker="o", markersize=4, label="" if k else "validation")
        if validation and validation[0][0] == stage.start:
            axes.annotate(f"before {validation[0][1]:.3f}", validation[0], (10, 4), textcoords="offset points",
                          color=INK)
        kept = stage.kept()
        if kept is not None:
            _mark(axes, stage.start + kept, stage.evals[kept]["loss"])
        if stage.name:
            axes.axvline(stage.start, color=LINE, linewidth=1.2)
            axes.annotate(stage.name, (stage.start, 0), (4, 4), xycoords=("data", "axes fraction"),
                          textcoords="offset points", color=INK, fontsize=8)
    axes.set_xlabel("optimizer step", color=INK)
    axes.set_ylabel("loss (nats per answer token)", color=INK)
    _quiet(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _line(axes: Any, points: Points, label: str, **style: Any) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), label=label or None, **style)


def _mark(axes: Any, at: int, loss: float) -> None:
    axes.plot(at, loss, marker="*", markersize=15, color=ACCENT, markeredgecolor=INK, linestyle="none")
    axes.annotate(f"kept: {loss:.3f}", (at, loss), (0, -18), textcoords="offset points", ha="center", color=INK)


def _small(axes: Any, lines: Sequence[Points], label: str, color: str) -> None:
    for points in lines:
        _line(axes, points, "", color=color, linewidth=0.9, marker="." if len(points) < 20 else "")
    axes.set_title(label, fontsize=8, color=INK)
    axes.tick_params(labelsize=6)
    axes.ticklabel_format(axis="y", scilimits=(-3, 4))
    axes.yaxis.get_offset_text().set_fontsize(6)
    _quiet(axes)


def _quiet(axes: Any) -> None:
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color=LINE, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
