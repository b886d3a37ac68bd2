"""Which labels can be chosen, and which of them a file gives its own rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from corpus.layouts import Example, labelled, load
from corpus.layouts.layout import is_filled
from corpus.read import read_table
from evaluation import leaks
from evaluation.batch import seen
from evaluation.batch.config import ClassifyConfig
from evaluation.batch.rows import Rows
from evaluation.batch.work import Say
from models import runs
from models.errors import UserError
from tasks import metrics
from tasks.classify import Labels, nearest

RARE_ROWS = 2                       # a label in no more rows may be a slip of the pen
LISTED = 10

Golds = list[frozenset[str] | None]


@dataclass(frozen=True, kw_only=True)
class Own:
    """What a file says of its rows. golds: the labels of each, None where it gives none; labels: all of them, None
    without a column of labels; examples: the rows that have some, as training would read them."""

    golds: Golds
    labels: Labels | None = None
    examples: dict[int, Example] = field(default_factory=dict)


def to_choose(config: ClassifyConfig, learned: Labels | None, own: Own, say: Say) -> Labels:
    """What to choose from: as named, the classifier's (learned), those the model was tuned on, the file's own.

    Raises UserError if nothing says so, or there is but one.
    """
    named = tuple(config.labels) or tuple(descriptions(config.descriptions))
    if named:
        if learned:
            raise UserError("A classifier knows its labels from the rows that it learned from; leave --labels out.")
        if joint := next((name for name in named if "|" in name), ""):
            raise UserError(f'The label {joint!r} has a "|" in it, which divides the labels of a text; name each label '
                            "by itself, as --labels cardiology,neurology.")
        names = tuple(sorted({" ".join(name.casefold().split()) for name in named}))
        labels = Labels(names=names, is_single=own.labels is not None and own.labels.is_single)
    elif learned:
        labels = learned
    elif tuned := _tuned_on(config.model, say):
        labels = tuned
    elif own.labels:
        say(f"The labels to choose from are those of {Path(config.file).name} itself: {_listed(own.labels.names)}.")
        labels = own.labels
    else:
        raise UserError(f"{config.file} has no column of labels, and no --labels are named, so there is nothing to "
                        "choose from; name them, as --labels cardiology,neurology, or their column, as --map "
                        "group=COLUMN.")
    if len(labels.names) < 2:
        raise UserError(f"There is only the label {', '.join(labels.names)!r} to choose from, so every text would get "
                        "it; name all labels, as --labels cardiology,neurology.")
    return replace(labels, is_single=True) if config.single else labels


def descriptions(path: str) -> dict[str, str]:
    """{label: what is meant by it} of a table of the two, {} for none. Raises UserError if it is no such table."""
    if not path:
        return {}
    table = read_table(runs.typed(path))
    if len(table.columns) < 2:
        raise UserError(f"{path} has one column; a table of labels has two, the label and what is meant by it.")
    cells = [[str(row.fields.get(column) or "").strip() for column in table.columns[:2]] for row in table.records]
    return {" ".join(label.casefold().split()): meaning for label, meaning in cells if label}


def _tuned_on(model: str, say: Say) -> Labels | None:
    """The labels of the training rows of the run that a model came from; None if there is no such run, or no label."""
    folder = leaks.run_of(model)
    if folder is None:
        return None
    for config in reversed(leaks.data_configs(runs.read_json(folder / runs.CONFIG))):
        try:
            found = load(config.data, config).labels
        except UserError as error:
            say(f"The labels that {folder.name} was trained on can not be read any more ({error})")
            return None
        if found:
            say(f"The labels to choose from are those that {folder.name} was trained on: {_listed(found.names)}.")
            return found
    return None


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def of_rows(rows: Rows, say: Say) -> Own:
    """The labels that the file gives its rows."""
    filled = [item.fields for item in rows.items if item.fields and is_filled(item.fields["group"])]
    if not filled:
        say(f"The column {rows.columns['group']!r} of {Path(rows.file).name} is empty, so nothing is scored."
            if rows.has("group") else
            f"{Path(rows.file).name} has no column of labels, so nothing is scored (--map group=COLUMN names it).")
        return Own(golds=[None for _ in rows.items])
    assert labelled.LABELLED.survey
    survey, notes = labelled.LABELLED.survey(filled, rows.file)
    for note in notes:
        say(note)
    examples = seen.examples(rows, labelled.LABELLED, survey)
    golds: Golds = [metrics.labels(examples[number].label) if number in examples else None
                    for number in range(len(rows.items))]
    return Own(golds=golds, labels=survey.labels, examples=examples)


def checked(rows: Rows, own: Own, labels: Labels, say: Say) -> Golds:
    """The labels of the rows, None for those with a misspelt one; what is wrong with labels is said."""
    if own.labels is None:
        return own.golds
    if own.labels.names == labels.names:
        _tell_slips(rows, own.golds, say)
        return own.golds
    found = nearest([gold or () for gold in own.golds], labels.names)
    meant: dict[str, tuple[str, list[int]]] = {}
    for row, label, near in found:
        meant.setdefault(label, (near, []))[1].append(row)
    for label, (near, at) in list(meant.items())[:LISTED]:
        more = f" and {len(at) - 1:,} more rows" if at[1:] else ""
        what = f"did you mean {near!r}? Not scored." if near else "no label is like it, so it can not be found: wrong."
        say(f"{rows.place(rows.items[at[0]])}{more}: the label {label!r} is none of those to choose from; {what}")
    if len(meant) > LISTED:
        say(f"{len(meant) - LISTED:,} more labels are none of those to choose from.")
    misspelt = {row for row, _, near in found if near}
    return [None if row in misspelt else gold for row, gold in enumerate(own.golds)]


def _tell_slips(rows: Rows, golds: Golds, say: Say) -> None:
    """Say which of the file's own labels are rare and much like a common one."""
    counts = Counter(label for gold in golds for label in gold or ())
    common = tuple(sorted(label for label, count in counts.items() if count > RARE_ROWS))
    rare = [{label} for label in sorted(counts) if counts[label] <= RARE_ROWS]
    for _, label, near in nearest(rare, common) if common else []:
        if near:
            at = next(item for item, gold in zip(rows.items, golds, strict=True) if label in (gold or ()))
            say(f"{rows.place(at)}: the label {label!r} stands in {counts[label]} of {len(golds):,} rows; did you mean "
                f"{near!r}? As it is, it is a label of its own.")
