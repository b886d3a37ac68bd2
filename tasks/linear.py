"""A linear classifier of texts over TF-IDF: the fast baseline, the fallback, and a member of an ensemble.

Two views of a text, words with pairs of words and runs of characters, each feature weighted by how much more often it
stands with a label than without (naive Bayes log-count ratios), and a logistic regression over them for each label.
Source: Wang and Manning 2012, "Baselines and Bigrams" (NBSVM).
"""

import json
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import UserError
from tasks.classify import Labels, Paper
from tasks.label_sets import MOST_ODDS, log_sum

LINEAR = "linear model"
VIEWS: tuple[dict[str, Any], ...] = (
    {"analyzer": "word", "ngram_range": [1, 2], "min_df": 2, "token_pattern": r"(?u)\b\w+\b"},
    {"analyzer": "char_wb", "ngram_range": [3, 6], "min_df": 2})
C = 5.0                             # inverse strength of the penalty of the logistic regression
SMOOTHING = 0.5                     # added to every count of a feature
FOLDS = 5
WEIGHTS, TERMS = "linear.npz", "linear.json"
Golds = Sequence[Collection[str]]
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class View:
    """One way to take a text apart: its settings, its terms with their inverse document frequencies, and what each
    says of each label: weights (terms, labels)."""

    settings: Mapping[str, Any]
    terms: tuple[str, ...]
    idf: Array
    weights: Array


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A fitted model. names: the labels it has seen; intercepts: one a label."""

    names: tuple[str, ...]
    is_single: bool
    views: tuple[View, ...]
    intercepts: Array

    def logs(self, papers: Sequence[Paper]) -> list[dict[str, float]]:
        """What speaks for each label of each text: log p where a text has one label, else log-odds."""
        if not papers:
            return []
        texts = [_text(paper) for paper in papers]
        odds = np.tile(self.intercepts, (len(texts), 1))
        for view, vectorizer in zip(self.views, self._vectorizers, strict=True):
            odds += vectorizer.transform(texts) @ view.weights / len(self.views)
        odds = np.clip(odds, -MOST_ODDS, MOST_ODDS)
        return [_of_row(row, self.names, self.is_single) for row in odds.tolist()]

    @cached_property
    def _vectorizers(self) -> list[Any]:
        return [_vectorizer(view) for view in self.views]

    def save(self, folder: Path) -> None:
        """Write it into folder, as arrays and JSON."""
        arrays: dict[str, Any] = {"intercepts": self.intercepts}
        for number, view in enumerate(self.views):
            arrays |= {f"idf_{number}": view.idf, f"weights_{number}": view.weights}
        told = {"names": self.names, "is_single": self.is_single,
                "views": [{"settings": dict(view.settings), "terms": view.terms} for view in self.views]}
        _write(folder / WEIGHTS, lambda file: np.savez(file, **arrays))
        _write(folder / TERMS, lambda file: file.write(json.dumps(told, ensure_ascii=False).encode()))

    @classmethod
    def load(cls, folder: Path) -> "Linear":
        """What save wrote. Raises UserError for a folder that holds no such model, or a damaged one."""
        try:
            told = json.loads((folder / TERMS).read_bytes())
            with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
                views = tuple(View(settings=one["settings"], terms=tuple(one["terms"]), idf=arrays[f"idf_{number}"],
                                   weights=arrays[f"weights_{number}"]) for number, one in enumerate(told["views"]))
                found = cls(names=tuple(told["names"]), is_single=told["is_single"], views=views,
                            intercepts=arrays["intercepts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"The linear model in {folder} can not be read ({error}); train the classifier "
                            "again.") from error
        if any(view.weights.shape != (len(view.terms), len(found.names)) for view in found.views):
            raise UserError(f"The linear model in {folder} is damaged: its weights do not fit its terms; train the "
                            "classifier again.")
        return found


def fit(papers: Sequence[Paper], golds: Golds, labels: Labels) -> Linear:
    """Fit on training rows, and on nothing else: neither terms nor frequencies are taken from any other text.

    A label that all rows have gets the same log-odds for every text; those of labels.names that no row has are left
    out. Raises UserError if the rows have but one label, or no words.
    """
    names = _names(golds, labels)
    if len(names) < 2:
        raise UserError(f"All {len(papers):,} rows have one and the same label ({', '.join(names) or 'none'}); a "
                        "classifier needs rows of at least two labels.")
    return _fit(papers, golds, names, labels.is_single)


def out_of_fold(papers: Sequence[Paper], golds: Golds, labels: Labels, seed: int = 0) -> list[dict[str, float]]:
    """What models say of each row that were fitted on the others: to fit weights and thresholds by.

    Rows of the same text are tried together, so that none is learned by heart from another one. Raises UserError for
    too few different texts.
    """
    fold_of, names = folds(golds, min(FOLDS, len(papers)), seed), _names(golds, labels)
    first: dict[str, int] = {}
    fold_of = [first.setdefault(_text(paper), fold) for paper, fold in zip(papers, fold_of, strict=True)]
    if len(set(fold_of)) < 2:
        raise UserError(f"The {len(papers):,} rows to train on have too few different texts: none is left to try the "
                        "model on; give more rows.")
    found: list[dict[str, float]] = [{} for _ in papers]
    for fold in sorted(set(fold_of)):
        rest = [k for k, one in enumerate(fold_of) if one != fold]
        part = [k for k, one in enumerate(fold_of) if one == fold]
        model = _fit([papers[k] for k in rest], [golds[k] for k in rest], names, labels.is_single)
        for k, logs in zip(part, model.logs([papers[k] for k in part]), strict=True):
            found[k] = logs
    return found


def folds(golds: Golds, count: int, seed: int) -> list[int]:
    """The fold of each row: the same share of every set of labels in each, within one row."""
    order = np.random.default_rng(seed).permutation(len(golds)).tolist()
    order.sort(key=lambda k: tuple(sorted(golds[k])))           # stable: shuffled within each set
    fold_of = [0] * len(golds)
    for place, k in enumerate(order):
        fold_of[k] = place % count
    return fold_of


def _names(golds: Golds, labels: Labels) -> tuple[str, ...]:
    return tuple(sorted({label for gold in golds for label in gold} & set(labels.names)))


def _fit(papers: Sequence[Paper], golds: Golds, names: tuple[str, ...], is_single: bool) -> Linear:
    has = np.array([[name in gold for name in names] for gold in golds])        # (rows, labels)
    texts = [_text(paper) for paper in papers]
    views, intercepts = [], np.zeros(len(names))
    for settings in VIEWS:
        vectorizer = _new_vectorizer(settings, len(texts))
        try:
            vectors = vectorizer.fit_transform(texts)
        except ValueError as error:             # the library's word for no term at all
            raise UserError(f"The {len(texts):,} texts to train on hold no word ({error}); are these texts?") from error
        fitted = [_fit_label(vectors, has[:, k]) for k in range(len(names))]
        views.append(View(settings=settings, terms=tuple(vectorizer.get_feature_names_out().tolist()),
                          idf=vectorizer.idf_, weights=np.column_stack([weights for weights, _ in fitted])))
        intercepts += [intercept for _, intercept in fitted]
    return Linear(names=names, is_single=is_single, views=tuple(views), intercepts=intercepts / len(VIEWS))


def _fit_label(vectors: Any, has: NDArray[np.bool_]) -> tuple[Array, float]:
    """(weights, intercept) of one label's log-odds."""
    from scipy.sparse import diags
    from sklearn.linear_model import LogisticRegression
    rows = int(has.sum())
    if rows in (0, len(has)):
        return np.zeros(vectors.shape[1]), math.log((rows + SMOOTHING) / (len(has) - rows + SMOOTHING))
    stands = vectors.copy()
    stands.data[:] = 1.0
    with_label, without = (SMOOTHING + np.asarray(stands[one].sum(axis=0)).ravel() for one in (has, ~has))
    ratios = np.log(with_label / with_label.sum()) - np.log(without / without.sum())
    model = LogisticRegression(C=C, class_weight="balanced", solver="liblinear", max_iter=1000)
    model.fit(vectors @ diags(ratios), has)
    return ratios * model.coef_[0], float(model.intercept_[0])


def _text(paper: Paper) -> str:
    return f"{paper.title.strip()}. {paper.text.strip()}" if paper.title.strip() else paper.text.strip()


def _new_vectorizer(settings: Mapping[str, Any], rows: int, terms: Sequence[str] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    given = {**settings, "ngram_range": tuple(settings["ngram_range"]),
             "min_df": min(settings["min_df"], max(1, rows // 10))}
    return TfidfVectorizer(sublinear_tf=True, vocabulary=terms, **given)


def _vectorizer(view: View) -> Any:
    vectorizer = _new_vectorizer(view.settings, 0, view.terms)
    vectorizer.idf_ = view.idf
    return vectorizer


def _of_row(odds: Sequence[float], names: Sequence[str], is_single: bool) -> dict[str, float]:
    total = log_sum(odds) if is_single else 0.0
    return {name: value - total for name, value in zip(names, odds, strict=True)}


def _write(path: Path, write: Callable[[Any], Any]) -> None:
    """path, whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        write(file)
    os.replace(part, path)
