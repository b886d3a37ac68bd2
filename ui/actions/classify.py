"""What `classify` does: texts of a file -> labels, in a job of its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.batch.config import ClassifyConfig
from models import runs
from models.errors import UserError
from tasks.classifier import SETTINGS
from ui.actions import batch, file_task
from ui.actions.batch import Wishes
from ui.actions.file_task import Wanted
from ui.actions.labellings import Choice, checked, learned_in, read_labels
from ui.actions.model import CurrentModel


def config_of(wishes: Wishes, *, labels: str = "", single: bool = False, train: str = "", classifier: str = "",
              fast: bool = False) -> ClassifyConfig:
    """The task that is wished for. labels: "cardiology,neurology", or a table of labels and what is meant by each.

    Raises UserError for what does not fit.
    """
    is_table = bool(labels) and os.path.isfile(os.path.expanduser(labels))      # Path's refuses a long list of labels
    return batch.config_of(ClassifyConfig, wishes, {
        "labels": () if is_table else tuple(part.strip() for part in labels.split(",") if part.strip()),
        "descriptions": batch.existing(labels) if is_table else "", "single": single or None,
        "train": batch.existing(train), "classifier": batch.existing(classifier), "fast": fast or None})


@dataclass(frozen=True, kw_only=True)
class Form:
    """What stands on the page. by: a run in which something was learned, "" = the language model. labels: lines of
    "label: description". how_many: "single" or "several". train: uploaded rows to learn from, "" for none."""

    by: str
    labels: str
    how_many: str
    train: str = ""
    is_fast: bool = False


def choice(form: Form) -> Choice:
    """What a text on the page may be. Raises UserError for a line that names no label, or a run that is gone."""
    if form.by:
        return Choice(learned=learned_in(form.by))
    return Choice(labels=read_labels(form.labels), is_single=form.how_many == "single")


def page_wish(model: CurrentModel, file: str, columns: Sequence[str], form: Form) -> Wanted:
    """The task over an uploaded file as the page says it.

    The labels come from what was learned, else those of the rows to learn from, else as written, else the file's own.
    Raises UserError for what does not fit.
    """
    said: dict[str, Any] = {"single": form.how_many == "single" and not form.by or None}
    files, tables, needs_model, source = {}, {}, True, ""
    if form.by and form.train:
        raise UserError("What was learned before is chosen above, and labelled rows to learn from are given too; take "
                        "one of them away.")
    if form.by:
        folder = learned_in(form.by)
        needs_model = bool(runs.read_json(folder / SETTINGS)["model"])
        source = str(runs.read_json(folder.parent / runs.CONFIG)["model"])
        said |= {"classifier": str(folder), "fast": not needs_model or None}
    elif form.train:
        files, needs_model = {"train": form.train}, not form.is_fast
        said |= {"fast": form.is_fast or None}
    elif form.is_fast:
        raise UserError("Words alone are learned from labelled rows; give some, or take the language model.")
    elif named := read_labels(form.labels):
        checked(Choice(labels=named))
        said |= {} if any(named.values()) else {"labels": tuple(named)}
        tables = {"descriptions": [("label", "meaning"), *named.items()]} if any(named.values()) else {}
    if needs_model and not source:
        source = file_task.chosen(model)
    config = batch.config_of(ClassifyConfig, Wishes(file=file, model=source, columns=columns), said)
    return Wanted(config=config, files=files, tables=tables, needs_model=needs_model)
