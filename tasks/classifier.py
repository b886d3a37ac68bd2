"""A classifier as it is fitted, kept and used: a linear model, alone or with a language model, behind thresholds."""

import json
import os
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError
from tasks import head, linear, sorter
from tasks.classify import Labels, Paper, Sorted, nearest, nothing
from tasks.engine import Engine, TooLong
from tasks.ensemble import Logs
from tasks.head import Head
from tasks.linear import LINEAR, Linear
from tasks.sorter import MODEL, Asking, Evidence

SETTINGS = "classifier.json"
FORMAT = 1
MOST_JUDGED = 500                       # training rows that a base model reads for the weights of an ensemble
Golds = Sequence[Collection[str]]


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """labels: what it chooses from. unseen: those that no training row has. heads: {members, joined by "+": Head}.

    model: the fingerprint of the language model it was fitted with; "" = it needs none.
    """

    labels: Labels
    linear: Linear
    heads: Mapping[str, Head]
    asking: Asking
    training_rows: int
    unseen: tuple[str, ...] = ()
    model: str = ""

    @property
    def kind(self) -> str:
        """What decides: "linear model" or "ensemble"."""
        return "ensemble" if self.model else LINEAR

    @property
    def about(self) -> str:
        """What it is and rests on, in sentences for the person."""
        deciding = self.heads[_key((LINEAR, MODEL) if self.model else (LINEAR,))]
        parts = [f"{len(self.labels.names)} labels, {self.training_rows:,} training rows."]
        if self.model:
            shares = ", ".join(f"{name} {weight:.2f}" for name, weight in deciding.weights.of.items())
            parts.append(f"An ensemble; weights fitted on {deciding.rows:,} rows: {shares}.")
        else:
            parts.append("A linear model over words and runs of characters, without a language model.")
        parts.append("Exactly right, of rows that no member has learned from: " + ", ".join(
            f"{key.replace('+', ' and ')} {one.right:,} of {one.rows:,}" for key, one in self.heads.items()) + ".")
        if self.unseen:
            parts.append(f"No training row has {', '.join(self.unseen)}: " + (
                "only the language model can find it." if self.model else "it is never found."))
        kept = sorted(name for name, one in deciding.calibrations.items() if one.is_kept)
        parts.append(f"Calibrated: {', '.join(kept)}." if kept else "Confidences are as the models give them: a "
                                                                    "calibration did not show to be better.")
        return " ".join(parts)

    def predict(self, papers: Sequence[Paper], engine: Engine | None = None) -> list[Sorted | TooLong]:
        """The labels of each text, in order. Without the language model it was fitted with, or where a text does not
        fit into that, the linear model decides alone, and the result says so.

        Raises UserError for another language model than that: its weights and thresholds are of no use there.
        """
        if engine is not None and self.model and engine.fingerprint != self.model:
            raise UserError(f"This classifier was fitted with the language model {self.model}, and {engine.name} is "
                            f"{engine.fingerprint}; open the one it was fitted with, or train it again.")
        full = [paper for paper in papers if not paper.is_empty]
        by_linear = self.linear.logs(full)
        by_model: Sequence[Evidence | TooLong | None] = [None] * len(full)
        if engine is not None and self.model:
            by_model = sorter.evidence(engine, full, self.labels, self.asking)
        found = iter([self._decide(one, other) for one, other in zip(by_linear, by_model, strict=True)])
        return [nothing(self.labels) if paper.is_empty else next(found) for paper in papers]

    def _decide(self, by_linear: Logs, by_model: Evidence | TooLong | None) -> Sorted:
        is_single = self.labels.is_single
        if isinstance(by_model, Evidence):
            said = {LINEAR: self.heads[LINEAR].logs({LINEAR: by_linear}, is_single), MODEL: by_model.logs}
            return self.heads[_key((LINEAR, MODEL))].decide(said, is_single, by_model.note)
        note = ""
        if self.model:
            why = f"too long ({by_model})" if by_model else "not there"
            note = f"By the linear model alone: the language model is {why}."
        return self.heads[LINEAR].decide({LINEAR: by_linear}, is_single, note)

    def save(self, folder: Path) -> None:
        """Write it into folder, which is made where it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        self.linear.save(folder)
        told = {"format": FORMAT, "names": self.labels.names, "is_single": self.labels.is_single,
                "separators": self.labels.separators, "unseen": self.unseen, "model": self.model,
                "training_rows": self.training_rows, "asking": _asking_to_json(self.asking),
                "heads": {key: one.to_json() for key, one in self.heads.items()}}
        part = folder / (SETTINGS + ".part")
        part.write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(part, folder / SETTINGS)             # last: a folder that holds it is whole

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """What save wrote. Raises UserError for a folder that holds no classifier, or a damaged one."""
        path = folder / SETTINGS
        if not path.is_file():
            raise UserError(f"There is no classifier in {folder}; train one, or name the folder of one.")
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != FORMAT:
                raise UserError(f"The classifier in {folder} is of format {told['format']}, and this version reads "
                                f"{FORMAT}; train it again.")
            return cls(labels=Labels(names=tuple(told["names"]), is_single=told["is_single"],
                                     separators=told["separators"]),
                       linear=Linear.load(folder), unseen=tuple(told["unseen"]), model=told["model"],
                       training_rows=told["training_rows"], asking=_asking_from_json(told["asking"]),
                       heads={key: Head.from_json(one) for key, one in told["heads"].items()})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"The classifier in {folder} can not be read ({error!r}); train it again.") from error


def fit(papers: Sequence[Paper], golds: Golds, engine: Engine | None = None, *, labels: Labels | None = None,
        validation: tuple[Sequence[Paper], Golds] | None = None, asking: Asking = sorter.DEFAULT,
        seed: int = 0) -> Classifier:
    """Fit on labelled rows, weights, calibration and thresholds on what is said of rows that were not learned from.

    The linear model learns from all rows; what it says of a row is heard from one that learned from the other four
    fifths. engine: the language model, where there is to be one: a base model, which reads up to MOST_JUDGED rows, or
    one trained on papers, in which case validation must hold rows that it was not trained on, and it reads these.
    labels: what can be chosen from, where that is more than the rows have. Raises UserError for rows without labels or
    with one and the same, and for labels that can not be chosen.
    """
    _check_rows(papers, golds)
    labels = labels or _labels_of(golds)
    _check_labels(golds, labels, "training")
    papers, golds = _usable(papers, golds)
    judged = _sample(papers, asking, seed)
    if validation:
        _check_lengths(*validation)
        _check_labels(validation[1], labels, "validation")
        more, right = _usable(*validation)
        papers, golds = papers + more, golds + right
        judged = list(range(len(papers) - len(more), len(papers)))
    model = linear.fit(papers, golds, labels)
    tried = linear.out_of_fold(papers, golds, labels, seed)
    heads = {LINEAR: head.fit({LINEAR: tried}, golds, labels, seed)}
    if engine is not None:
        asking = sorter.with_seen(asking, golds, labels)
        by_linear = [heads[LINEAR].logs({LINEAR: tried[k]}, labels.is_single) for k in judged]
        by_model = sorter.evidence(engine, [papers[k] for k in judged], labels, asking)
        heads |= _with_model(by_linear, by_model, [golds[k] for k in judged], labels, seed)
    return Classifier(labels=labels, linear=model, heads=heads, asking=asking, training_rows=len(papers),
                      unseen=tuple(sorted(set(labels.names) - set(model.names))),
                      model=engine.fingerprint if engine else "")


def _labels_of(golds: Golds) -> Labels:
    return Labels(names=tuple(sorted({label for gold in golds for label in gold})),
                  is_single=all(len(set(gold)) == 1 for gold in golds))


def _sample(papers: Sequence[Paper], asking: Asking, seed: int) -> list[int]:
    """Rows to fit an ensemble's weights on: at most MOST_JUDGED, none of them an example in the prompt."""
    shown = [shot.paper for shot in asking.shots]
    rows = [k for k, paper in enumerate(papers) if paper not in shown]
    return sorted(random.Random(seed).sample(rows, min(len(rows), MOST_JUDGED)))


def _usable(papers: Sequence[Paper], golds: Golds) -> tuple[list[Paper], list[Collection[str]]]:
    """The rows with a text and a label."""
    kept = [k for k, paper in enumerate(papers) if golds[k] and not paper.is_empty]
    return [papers[k] for k in kept], [golds[k] for k in kept]


def _with_model(by_linear: Sequence[Logs], by_model: Sequence[Evidence | TooLong], golds: Golds, labels: Labels,
                seed: int) -> dict[str, Head]:
    """The heads of the language model, alone and with the linear one, on the rows that fit into it."""
    pairs = [(k, one) for k, one in enumerate(by_model) if isinstance(one, Evidence)]
    if not pairs:
        raise UserError(f"None of the {len(golds):,} rows fits into the context of the language model; "
                        "choose one with a longer context, or classify with the linear model alone.")
    said = {LINEAR: [by_linear[k] for k, _ in pairs], MODEL: [one.logs for _, one in pairs]}
    right = [golds[k] for k, _ in pairs]
    return {_key(members): head.fit({member: said[member] for member in members}, right, labels, seed)
            for members in ((MODEL,), (LINEAR, MODEL))}


def _check_lengths(papers: Sequence[Paper], golds: Golds) -> None:
    if len(papers) != len(golds):
        raise UserError(f"There are {len(papers):,} texts and {len(golds):,} rows of labels; give each text its own.")


def _check_rows(papers: Sequence[Paper], golds: Golds) -> None:
    _check_lengths(papers, golds)
    if without := [k for k, gold in enumerate(golds, 1) if not gold]:
        raise UserError(f"{len(without):,} of {len(golds):,} rows have no label (the first is row {without[0]:,}); "
                        "label them or leave them out.")
    if not any(not paper.is_empty for paper in papers):
        raise UserError(f"None of the {len(papers):,} rows to train on has a text.")


def _check_labels(golds: Golds, labels: Labels, what: str) -> None:
    several = next((k for k, gold in enumerate(golds, 1) if len(set(gold)) > 1), None) if labels.is_single else None
    if several:
        raise UserError(f"Row {several:,} for {what} has several labels ({', '.join(sorted(golds[several - 1]))}), and "
                        "a text is to have one; leave it out, or let texts have several.")
    unknown = nearest(golds, labels.names)
    if unknown:
        row, label, near = unknown[0]
        raise UserError(f"Row {row + 1:,} for {what} has the label {label!r}, which is none of "
                        f"{', '.join(labels.names[:20])}; " + (f"did you mean {near!r}?" if near else
                                                               "no training row has it."))


def _key(members: Sequence[str]) -> str:
    return "+".join(members)


def _asking_to_json(asking: Asking) -> dict[str, Any]:
    shots = [{"title": one.paper.title, "text": one.paper.text, "labels": one.labels} for one in asking.shots]
    return {**vars(asking), "descriptions": dict(asking.descriptions), "shots": shots}


def _asking_from_json(told: Mapping[str, Any]) -> Asking:
    shots = tuple(sorter.Shot(paper=Paper(title=one["title"], text=one["text"]), labels=tuple(one["labels"]))
                  for one in told["shots"])
    return Asking(**{**told, "shots": shots, "seen": tuple(tuple(one) for one in told["seen"])})
