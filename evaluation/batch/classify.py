"""Texts of a file -> labels: by the likelihood of each, by words alone, or by both together."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.layouts import labelled
from corpus.read import fingerprint
from evaluation.batch import labels as labels_of
from evaluation.batch import scores, seen
from evaluation.batch.config import ClassifyConfig
from evaluation.batch.journal import Row
from evaluation.batch.rows import Item, read_rows
from evaluation.batch.work import DIGITS, PROBLEM, Say, Work, share_column, shares
from models import runs
from models.errors import UserError
from tasks import classifier, classify, metrics, sorter
from tasks.classifier import Classifier
from tasks.classify import Labels, Paper, Sorted
from tasks.engine import Engine, TooLong
from tasks.sorter import Asking, Shot

MOST_COLUMNS = 50                   # labels whose probabilities have a column each
LABELLED = replace(labelled.LABELLED, name="title/abstract")


@dataclass(frozen=True, kw_only=True)
class Training:
    """Labelled rows to learn from. digest: of their file."""

    papers: list[Paper]
    golds: list[frozenset[str]]
    labels: Labels
    digest: str


@dataclass
class Known:
    """What the labels are read with, once it is there: a classifier that is fitted while the model is open."""

    classifier: Classifier | None = None


def prepare(config: ClassifyConfig, folder: Path, say: Say) -> Work:
    """The texts of config's file. Raises UserError if it holds none, or nothing says what to choose from."""
    rows = read_rows(config, (LABELLED,))
    known, train = Known(), _training(config, say)
    kept = runs.typed(config.classifier) if config.classifier else folder / runs.CLASSIFIER
    if config.classifier or (train and kept.exists()):
        known.classifier = Classifier.load(kept)
    learned = known.classifier.labels if known.classifier else train.labels if train else None
    own = labels_of.of_rows(rows, say)
    labels = labels_of.to_choose(config, learned, own, say)
    golds = labels_of.checked(rows, own, labels, say)
    names = labels.names[:MOST_COLUMNS]
    asking = _asking(config, train)

    def begin(engine: Engine | None) -> None:
        if train and known.classifier is None:
            say(f"Learning from {len(train.papers):,} labelled rows.")
            known.classifier = _fitted(train, engine, asking, config, kept)
        if known.classifier:
            say(known.classifier.about)

    def do(engine: Engine | None, items: Sequence[Item]) -> list[Row]:
        papers = list(map(_paper, items))
        if known.classifier:
            return [_row(one, names) for one in known.classifier.predict(papers, engine)]
        assert engine
        return [_row(one, names) for one in sorter.classify(engine, papers, labels, asking)]

    def scored(found: Sequence[Row]) -> dict[str, Any]:
        said = [None if row[PROBLEM] else metrics.labels(row["predicted_labels"]) for row in found]
        return scores.labels(golds, said, labels.names)

    return Work(
        rows=rows, do=do, scores=scored, begin=begin,
        learned=lambda: seen.learned(own.examples, "" if config.fast else config.model, config.train, say),
        columns=("predicted_labels", "confidence", *map(share_column, names), "by", "note", PROBLEM),
        needs_model=not config.fast and (known.classifier is None or bool(known.classifier.model)),
        identity={"labels": list(labels.names), "is_single": labels.is_single, "train": train.digest if train else "",
                  "classifier": _digest(kept) if config.classifier else "",
                  "descriptions": dict(asking.descriptions)})


def _training(config: ClassifyConfig, say: Say) -> Training | None:
    """The labelled rows to learn from. Raises UserError where words alone are asked for and there are none."""
    if config.fast and not (config.train or config.classifier):
        raise UserError("Words alone (--fast) are learned from labelled rows; name them with --train FILE.")
    if config.shots and not config.train:
        raise UserError("Examples to show before each text are taken from labelled rows; name them with --train FILE.")
    if not config.train:
        return None
    if config.classifier:
        raise UserError("Name labelled rows to learn from (--train) or a classifier that was fitted before "
                        "(--classifier), not both.")
    rows = read_rows(replace(config, file=config.train), (LABELLED,))
    own = labels_of.of_rows(rows, say)
    if own.labels is None:
        raise UserError(f"{config.train} has no column of labels, so nothing can be learned from it; name the column, "
                        "as --map group=COLUMN.")
    pairs = [(_paper(item), gold) for item, gold in zip(rows.items, own.golds, strict=True) if gold and not item.reason]
    if config.shots >= len(pairs):
        raise UserError(f"{config.train} has {len(pairs):,} labelled rows, of which {config.shots} can not be shown as "
                        "examples; show fewer.")
    return Training(papers=[paper for paper, _ in pairs], golds=[gold for _, gold in pairs], digest=rows.digest,
                    labels=replace(own.labels, is_single=own.labels.is_single or config.single))


def _digest(folder: Path) -> str:
    return fingerprint(str(folder / classifier.SETTINGS), DataConfig())


def _paper(item: Item) -> Paper:
    return Paper(text=item.fields["abstract"], title=item.fields["title"])


def _asking(config: ClassifyConfig, train: Training | None) -> Asking:
    """How the model is asked; the examples are the first training rows."""
    pairs = list(zip(train.papers, train.golds, strict=True))[:config.shots] if train else []
    shots = tuple(Shot(paper=paper, labels=tuple(sorted(gold))) for paper, gold in pairs)
    return Asking(by=config.by, shots=shots, descriptions=labels_of.descriptions(config.descriptions))


def _fitted(train: Training, engine: Engine | None, asking: Asking, config: ClassifyConfig, kept: Path) -> Classifier:
    """A classifier fitted on the rows that are not shown as examples; kept on disk, and read from there."""
    shown = config.shots
    fitted = classifier.fit(train.papers[shown:], train.golds[shown:], engine, labels=train.labels, asking=asking,
                            seed=config.seed)
    part = kept.with_name(kept.name + ".part")
    fitted.save(part)
    os.replace(part, kept)
    return Classifier.load(kept)


def _row(found: Sorted | TooLong, names: Sequence[str]) -> Row:
    if isinstance(found, TooLong):
        return {PROBLEM: f"too long: {found}"}
    return {"predicted_labels": classify.joined(found.labels), "confidence": round(found.confidence, DIGITS),
            **shares(found.probabilities, names), "by": " + ".join(found.by), "note": found.note, PROBLEM: ""}
