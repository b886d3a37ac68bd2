"""The picture of a run: training loss thin, validation loss thick, the best point marked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import runs

ACCENT, MUTED, INK, LINE = "#0F766E", "#5C6B69", "#1B2625", "#E4E4DD"


def draw(events: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the "step" and "eval" events of a run as a PNG; the file appears whole or not at all."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = [(e["step"], e["loss"]) for e in events if e["kind"] == "step"]
    evals = [(e["step"], e["loss"]) for e in events if e["kind"] == "eval"]
    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120)
    if steps:
        axes.plot(*zip(*steps, strict=True), color=MUTED, linewidth=0.7, alpha=0.8, label="training, each step")
    if evals:
        axes.plot(*zip(*evals, strict=True), color=ACCENT, linewidth=2.6, marker="o", markersize=4, label="validation")
        axes.annotate(f"before training {evals[0][1]:.3f}", evals[0], (10, 4), textcoords="offset points", color=INK)
        _mark_best(axes, evals)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("optimizer step", color=INK)
    axes.set_ylabel("loss (nats per answer token)", color=INK)
    axes.grid(color=LINE, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if steps or evals:
        axes.legend(frameon=False)
    figure.tight_layout()
    with runs.whole_file(path) as part:
        figure.savefig(part, format="png")
    pyplot.close(figure)


def _mark_best(axes: Any, evals: list[tuple[int, float]]) -> None:
    trained = [point for point in evals if point[0] > 0]
    if not trained:
        return
    best = min(trained, key=lambda point: point[1])
    axes.plot(*best, marker="*", markersize=15, color=ACCENT, markeredgecolor=INK, linestyle="none",
              label="best, the one kept")
    axes.annotate(f"{best[1]:.3f}", best, (0, -18), textcoords="offset points", ha="center", color=INK)
