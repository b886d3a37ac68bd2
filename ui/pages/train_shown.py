"""What the train page shows of a run: which of its parts have changed, and what they show now."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ui.actions.train_page import Trainings
from ui.actions.train_view import RunView
from ui.views import train as views
from ui.views import train_data

DATA, SEE, BASE, PROMISE, RUN = range(5)        # the steps
OLD_ROWS = "The settings or files have changed since; look at the rows again."
OLD_PROMISE = "The settings or files have changed since this promise; make it again."


class Shown:
    """The outputs of the page. A part is drawn again only when what it shows has changed."""

    def __init__(self, trainings: Trainings, *, alone: Sequence[Block], heads: Sequence[Block],
                 parts: Mapping[str, Sequence[Block]], buttons: Mapping[str, Block]):
        """alone: what the page has seen, its title, the step to open, the list of runs."""
        self._trainings, self._heads, self._parts, self._buttons = trainings, heads, parts, buttons
        self._seen, self._title, self._step_now, self._listing = alone

    @property
    def outputs(self) -> list[Block]:
        """Every component that changed() and whole() may write to."""
        return [self._seen, self._title, self._step_now, *self._heads, self._listing, *self._buttons.values(),
                *(one for part in self._parts.values() for one in part)]

    def whole(self, name: str, other: str = "", step: int | None = None) -> dict[Any, Any]:
        """Everything. step: the one to open, the others closed; None leaves them as they are."""
        values = self.changed(name, other, "")
        return values if step is None else {**values, **self._open(step)}

    def next_step(self, name: str) -> int:
        """The step that comes next for who opens a run."""
        if not self._trainings.is_known(name):
            return DATA
        view = self._trainings.view(name)
        if view.draft is None:
            return RUN
        if view.estimate.job:
            return PROMISE
        return SEE if view.preview.made and not view.preview.is_stale else DATA

    def _open(self, step: int) -> dict[Any, str]:
        return {self._step_now: f"{step} {time.monotonic_ns()}"}

    def is_stale(self, name: str, other: str, seen: str) -> bool:
        """True if changed() has something to write."""
        name, other = (one if self._trainings.is_known(one) else "" for one in (name, other))
        return bool(self._trainings.versions(name, other) != (json.loads(seen) if seen else {}))

    def changed(self, name: str, other: str, seen: str) -> dict[Any, Any]:
        """What is no longer as the page has seen it; empty if nothing is."""
        before: dict[str, Any] = json.loads(seen) if seen else {}
        name, other = (one if self._trainings.is_known(one) else "" for one in (name, other))   # another page deletes
        now = self._trainings.versions(name, other)
        if now == before:
            return {}
        values: dict[Any, Any] = {self._seen: json.dumps(now)}
        if now["list"] != before.get("list"):
            values[self._listing] = views.runs(self._trainings.lines(), name, other)
        changed = [part for part in self._parts if now[part] != before.get(part)]
        if changed or not before:
            view = self._trainings.view(name) if name else None
            for part in changed:
                values |= dict(zip(self._parts[part], self._drawn(part, view, other), strict=True))
            values |= self._frame(view)
        has_just_begun = (before.get("begun"), now["begun"]) == ("False", "True")
        return {**values, **self._open(RUN)} if has_just_begun else values

    def _drawn(self, part: str, view: RunView | None, other: str) -> tuple[str, ...]:
        if view is None:
            return ("",) * len(self._parts[part])
        if part == "data":
            state = train_data.state(view.preview, OLD_ROWS) if view.draft else ""
            return (train_data.tables(view), state, train_data.findings(view.preview))
        if part == "see":
            return (train_data.tokens(view.preview),)
        if part == "base":
            return (views.recipe(view), "" if view.draft else views.settings(view))
        if part == "promise":
            return (train_data.state(view.estimate, OLD_PROMISE) if view.draft else "", views.promise(view))
        return (views.run(view, (other, self._trainings.record(other)) if other else None),)

    def _frame(self, view: RunView | None) -> dict[Any, Any]:
        """The lines of the steps, and which buttons there are."""
        draft, job, preview = (view.draft, view.job, view.preview) if view else (None, None, None)
        is_draft = draft is not None
        is_there = {"files": view is None or is_draft, "demo": view is None, "look": draft and draft.files,
                    "to_see": draft and preview and preview.made, "to_base": is_draft, "start": is_draft,
                    "stop": job is not None and not job.is_over, "end": job is not None and job.is_deaf,
                    "resume": job is not None and self._trainings.can_resume(job.folder), "again": job is not None}
        values: dict[Any, Any] = {self._buttons[key]: gr.update(visible=bool(there) or "hidden")
                                  for key, there in is_there.items()}
        return {**values, self._title: views.title(view), **dict(zip(self._heads, views.heads(view), strict=True))}
