"""Which classifier of medical literature is best? Linear, language model with LoRA, or both, by cross-validation.

    .venv/bin/python bench/classify.py                          the linear models, 5 folds, 2 minutes a seed
    .venv/bin/python bench/classify.py --seeds 0 1 2            with other folds too
    .venv/bin/python bench/classify.py --grouped                rows with much of their wording in common in one fold
    .venv/bin/python bench/classify.py --lora --runs FOLDER     the embedded model too: a run a fold, kept in FOLDER
    .venv/bin/python bench/classify.py --lora --runs FOLDER --folds 0 --set epochs=5

The rows are those of ../shared/data/medlit-challenge. Everything is fitted on a fold's training rows: the linear
models on all of them, the language model on nine tenths; weights of the ensemble on what both say of the last tenth,
heard from linear models that have not seen it. The fold's test rows are scored once. Prints a table, then one JSON
object. A LoRA run takes 10 minutes on two idle cores.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":                      # else bench/ hides packages of the same names
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from corpus.config import DataConfig
from corpus.layouts import Example, load
from corpus.same import cases
from evaluation.benchmarks.literature import is_template
from models import knobs, runs
from runtime.engines import open_engine
from tasks import calibrate, head, linear, sorter
from tasks.classify import Labels, Paper, names
from tasks.linear import LINEAR
from tasks.sorter import MODEL, Asking, Evidence
from train.config import TrainConfig, load_recipe

DATA = runs.ROOT.parent / "shared" / "data" / "medlit-challenge" / "challenge_train2850.csv"
FOLDS = 5
ALIKE = 0.5                                     # of their word triples in common: made from one sentence
COMMONEST, SVC = "always the commonest", "TF-IDF + LinearSVC"
TUNED, BOTH = "language model + LoRA", "ensemble"
MEASURES = ("subset", "macro F1", "micro F1", "real subset", "real macro F1", "template subset", "template macro F1")


@dataclass(frozen=True)
class Rows:
    """The data set."""

    papers: list[Paper]
    golds: list[tuple[str, ...]]
    examples: list[Example]
    labels: Labels

    def part(self, rows: Sequence[int]) -> tuple[list[Paper], list[tuple[str, ...]]]:
        return [self.papers[k] for k in rows], [self.golds[k] for k in rows]


def read_rows(path: Path) -> Rows:
    """Every row of a table with title, abstract and group."""
    loaded = load([str(path)], DataConfig())
    with path.open(newline="", encoding="utf-8-sig") as file:
        titles = [row["title"] for row in csv.DictReader(file, delimiter=";")]
    assert len(titles) == len(loaded.examples) and loaded.labels
    papers = [Paper(title=title, text=one.input) for title, one in zip(titles, loaded.examples, strict=True)]
    return Rows(papers, [names(one.label, "|") for one in loaded.examples], list(loaded.examples), loaded.labels)


def splits(rows: Rows, seed: int, is_grouped: bool) -> list[tuple[list[int], list[int]]]:
    """(training, test) of each fold, each set of labels in its proportion."""
    strata = ["|".join(sorted(gold)) for gold in rows.golds]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")             # four labels at once are in four rows
        if not is_grouped:
            parts = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(strata, strata)
            return [(train.tolist(), test.tolist()) for train, test in parts]
        group = {k: number for number, one in enumerate(cases(rows.examples, ALIKE)) for k in one}
        splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        parts = splitter.split(strata, strata, [group[k] for k in range(len(strata))])
        return [(train.tolist(), test.tolist()) for train, test in parts]


def baselines(rows: Rows, training: Sequence[int], test: Sequence[int]) -> dict[str, list[Collection[str]]]:
    """The commonest set of labels, and the plain way: words, TF-IDF, LinearSVC as it comes."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC
    papers, golds = rows.part(training)
    (commonest, _), = Counter(golds).most_common(1)
    vectorizer = TfidfVectorizer()
    classes = rows.labels.names
    fitted = OneVsRestClassifier(LinearSVC(random_state=0)).fit(
        vectorizer.fit_transform(f"{one.title} {one.text}" for one in papers), _matrix(golds, classes))
    found = fitted.predict(vectorizer.transform(f"{one.title} {one.text}" for one in rows.part(test)[0]))
    return {COMMONEST: [commonest] * len(test), SVC: [
        tuple(label for label, has in zip(classes, row, strict=True) if has) for row in found]}


class Fold:
    """One fold: who says what of its test rows."""

    def __init__(self, rows: Rows, training: Sequence[int], test: Sequence[int]):
        self.rows, self.training, self.test = rows, list(training), list(test)
        self.said: dict[str, list[Collection[str]]] = baselines(rows, training, test)
        self.shares: dict[str, list[dict[str, float]]] = {}
        self.tried: dict[int, dict[str, float]] = {}        # by the linear models that have not seen the row
        self.tested: list[dict[str, float]] = []

    def linear(self) -> None:
        """The linear model, fitted and calibrated on all training rows."""
        papers, golds = self.rows.part(self.training)
        tried = linear.out_of_fold(papers, golds, self.rows.labels)
        deciding = head.fit({LINEAR: tried}, golds, self.rows.labels)
        raw = linear.fit(papers, golds, self.rows.labels).logs(self.rows.part(self.test)[0])
        self._decide(LINEAR, deciding, [{LINEAR: one} for one in raw])
        self.shares["linear model, not calibrated"] = [calibrate.label_probabilities({}, one) for one in raw]
        self.tried = {row: deciding.logs({LINEAR: one}, False) for row, one in zip(self.training, tried, strict=True)}
        self.tested = [deciding.logs({LINEAR: one}, False) for one in raw]

    def lora(self, folder: Path, assignments: Sequence[str]) -> dict[str, Any]:
        """The embedded model with a LoRA, and its ensemble with the linear one; what its run came to."""
        result = trained(self, folder, assignments)
        validation, labels = held_out(folder, self.training), self.rows.labels
        right = self.rows.part(validation)[1]
        judged = model_logs(self.rows, validation, folder, "validation")
        tested = model_logs(self.rows, self.test, folder, "test")
        alone = head.fit({MODEL: judged}, right, labels)
        self._decide(TUNED, alone, [{MODEL: one} for one in tested])
        both = head.fit({LINEAR: [self.tried[row] for row in validation], MODEL: judged}, right, labels)
        self._decide(BOTH, both, [{LINEAR: one, MODEL: other} for one, other in zip(self.tested, tested, strict=True)])
        return {**{key: result.get(key) for key in ("samples", "validation_samples", "steps", "seconds", "best_step")},
                "weights": dict(both.weights.of), "thresholds": both.thresholds.why}

    def _decide(self, who: str, deciding: head.Head, said: Sequence[dict[str, Any]]) -> None:
        found = [deciding.decide(one, False) for one in said]
        self.said[who] = [one.labels for one in found]
        self.shares[who] = [dict(one.probabilities) for one in found]

    def scores(self) -> dict[str, dict[str, float]]:
        """{who: {measure: value}}."""
        golds = self.rows.part(self.test)[1]
        real = [k for k, row in enumerate(self.test) if not is_template(self.rows.papers[row].text)]
        template = [k for k in range(len(self.test)) if k not in set(real)]
        found = {}
        for who, said in self.said.items():
            found[who] = {**_measures(golds, said, self.rows.labels.names)}
            for part, chosen in (("real", real), ("template", template)):
                if not chosen:
                    continue
                some = _measures([golds[k] for k in chosen], [said[k] for k in chosen], self.rows.labels.names)
                found[who] |= {f"{part} {name}": some[name] for name in ("subset", "macro F1")}
        for who, shares in self.shares.items():
            pairs = [(one[label], label in gold) for one, gold in zip(shares, golds, strict=True) for label in one]
            found.setdefault(who, {})["calibration error"] = calibrate.calibration_error(*map(list, zip(*pairs,
                                                                                                        strict=True)))
        return found


def _measures(golds: Sequence[Collection[str]], said: Sequence[Collection[str]], classes: Sequence[str]
              ) -> dict[str, float]:
    gold, found = _matrix(golds, classes), _matrix(said, classes)
    return {"subset": float((gold == found).all(1).mean()),
            "macro F1": float(f1_score(gold, found, average="macro", zero_division=0)),
            "micro F1": float(f1_score(gold, found, average="micro", zero_division=0))}


def _matrix(golds: Sequence[Collection[str]], classes: Sequence[str]) -> Any:
    return np.array([[name in gold for name in classes] for gold in golds], dtype=int)


def trained(fold: Fold, folder: Path, assignments: Sequence[str]) -> dict[str, Any]:
    """The result of the run of a fold; one that is there already is not done again."""
    if not (folder / runs.RESULT).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / "train.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["title", "abstract", "group"])
            for paper, gold in zip(*fold.rows.part(fold.training), strict=True):
                writer.writerow([paper.title, paper.text, "|".join(gold)])
        given = {"data": [str(table)], "eval_share": 0.1, "test_share": 0.0, "leaks": "keep", "notify": False}
        values = load_recipe("classify") | knobs.parse(TrainConfig, assignments) | given
        runs.write_json(folder / runs.CONFIG, knobs.to_json(knobs.from_json(TrainConfig, values)))
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        subprocess.run([sys.executable, "-m", "train.worker", str(folder)], cwd=runs.ROOT, check=True, env=environment)
    return dict(runs.read_json(folder / runs.RESULT))


def held_out(folder: Path, training: Sequence[int]) -> list[int]:
    """Which training rows a run set aside: line 2 of its table is the first of them."""
    lines = (folder / runs.HELDOUT).read_text(encoding="utf-8").splitlines()
    return [training[json.loads(line)["line"] - 2] for line in lines]


def model_logs(rows: Rows, which: Sequence[int], folder: Path, part: str) -> list[dict[str, float]]:
    """What a run's model says of rows, as log-odds; kept in its folder."""
    kept = folder / f"evidence-{part}.json"
    if not kept.is_file():
        max_len = runs.read_json(folder / runs.CONFIG)["max_len"]
        with open_engine(str(folder), threads=1) as engine:
            found = sorter.evidence(engine, rows.part(which)[0], rows.labels, Asking(max_tokens=max_len))
        runs.write_json(kept, [one.logs for one in found if isinstance(one, Evidence)])
    logs = runs.read_json(kept)
    assert len(logs) == len(which)
    return list(logs)


def show(told: dict[str, dict[str, list[float]]]) -> None:
    """Mean and standard deviation over the folds."""
    measures = (*MEASURES, "calibration error")
    print(f"\n{'':30}" + "".join(f"{name:>19}" for name in measures))
    for who, found in sorted(told.items(), key=lambda one: float(np.mean(one[1].get("subset", [0])))):
        print(f"{who:30}" + "".join(
            f"{np.mean(found[name]):12.4f} ± {np.std(found[name]):.3f}" if name in found else " " * 19
            for name in measures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--grouped", action="store_true")
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--runs", default="", help="where the runs are kept: one a seed and fold")
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value")
    asked = parser.parse_args()
    rows = read_rows(asked.data)
    told: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    details = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in asked.seeds:
            for number, (training, test) in enumerate(splits(rows, seed, asked.grouped)):
                if number not in asked.folds:
                    continue
                began, fold = time.monotonic(), Fold(rows, training, test)
                fold.linear()
                place = Path(asked.runs or scratch).resolve() / f"{'grouped-' * asked.grouped}{seed}-{number}"
                detail = fold.lora(place, asked.set) if asked.lora else {}
                for who, measures in fold.scores().items():
                    for name, value in measures.items():
                        told[who][name].append(round(value, 5))
                details.append({"seed": seed, "fold": number, "test_rows": len(test), **detail})
                print(f"seed {seed}, fold {number}: {time.monotonic() - began:.0f} s, {detail}", flush=True)
    show(told)
    decided = {who: found for who, found in told.items() if "subset" in found}
    best = max(decided, key=lambda who: np.mean(decided[who]["subset"]))
    print(f"\nBest of these by subset accuracy: {best}.\n")
    print(json.dumps({"rows": len(rows.golds), "folds": details, "grouped": asked.grouped, "best": best,
                      "scores": {who: {name: {"mean": round(float(np.mean(values)), 4), "each": values}
                                       for name, values in found.items()} for who, found in told.items()}}))


if __name__ == "__main__":
    main()
