"""What does the embedded model learn from the recipes? Base, tuned and trivial answers to rows that nobody trained on.

    .venv/bin/python bench/learn.py                              every recipe, on ../shared/data
    .venv/bin/python bench/learn.py --only summarise             one of them
    .venv/bin/python bench/learn.py --runs FOLDER                keep the runs there; what is there is not trained again
    .venv/bin/python bench/learn.py --set summarise.epochs=1     with other settings

The trivial answers need no model: the input itself, the patient's words in it, the commonest answer of the training
rows (for the same section), the answer of the training row with the most similar input (TF-IDF). Models answer
greedily. Prints a table a recipe, then one JSON object. Half an hour on four idle cores.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":                      # else bench/ hides packages of the same names
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import transformers

from corpus.gather import Gathered, gather
from corpus.layouts import Example
from models import knobs, runs
from models.library import find_base
from tasks import metrics
from tasks.hf_tokenizer import HFTokenizer
from train import adapter, answers
from train.config import TrainConfig, load_recipe

DATA = runs.ROOT.parent / "shared" / "data"
MTS = DATA / "mts-dialog"
RECIPES: dict[str, dict[str, Any]] = {
    "summarise": {"data": [MTS / "train.csv"], "eval": [MTS / "validation.csv"], "guard": [MTS / "test1.csv"]},
    "answer-then-chat": {"pubmedqa.data": [DATA / "pubmedqa" / "pqal_dev500.json"],
                         "conversations.data": [DATA / "chatdoctor" / "chatdoctor5k.json"]},
    "classify": {"data": [DATA / "medical-abstracts-tc" / "medical_tc_train.csv"]},
    "answer": {"data": [DATA / "medquad" / "medquad_train.jsonl"], "limit_rows": 3000},
    "chat": {"data": [DATA / "chatdoctor" / "chatdoctor5k.json"], "limit_rows": 3000}}
ASKED_ROWS = 100
KEPT = ("samples", "validation_samples", "steps", "seconds", "base_val_loss", "best_val_loss", "best_step", "machine",
        "table")
PATIENT = re.compile(r"^\s*(?:patient|guest\w*)\s*:\s*(.*)$", re.IGNORECASE | re.MULTILINE)
Scores = dict[str, dict[str, float]]        # who answered -> measure -> value


@dataclass(frozen=True, kw_only=True)
class Case:
    """One set of validation rows, and the adapters that were trained for it, in order."""

    name: str
    config: TrainConfig
    gathered: Gathered
    adapters: Sequence[Path]

    @property
    def asked(self) -> list[Example]:
        rows = self.gathered.validation
        return list(rows[::max(1, len(rows) // ASKED_ROWS)][:ASKED_ROWS])


def settings(name: str, assignments: Sequence[str]) -> TrainConfig:
    """A recipe with its data and what the command line wants of it ("STAGE.key" for one stage)."""
    given = {key: [str(one) for one in value] if isinstance(value, list) else value
             for key, value in RECIPES[name].items()}
    own = [one.removeprefix(f"{name}.") for one in assignments if one.startswith(f"{name}.")]
    values = load_recipe(name) | knobs.parse(TrainConfig, own)
    for key, value in given.items():
        stage, _, field = key.rpartition(".")
        if not stage:
            values[key] = value
        for one in values.get("stages", ()):
            if one["name"] == stage:
                one[field] = value
    return knobs.from_json(TrainConfig, values | {"notify": False})


def trained(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """The result of a run in folder; a run that is there already is not done again."""
    if not (folder / runs.RESULT).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        subprocess.run([sys.executable, "-m", "train.worker", str(folder)], cwd=runs.ROOT, check=True, env=environment)
    return dict(runs.read_json(folder / runs.RESULT))


def cases(config: TrainConfig, folder: Path) -> list[Case]:
    """What a run is to be measured on: its rows, or those of each of its stages, all with what it ended with."""
    stages = config.stage_configs()
    places = [folder / runs.STAGES / f"{k}-{one.name}" for k, one in enumerate(stages, 1)]
    return [Case(name=one.name or config.recipe, config=one, gathered=gather(one, lambda text: None),
                 adapters=[place / runs.ADAPTER for place in (places if config.stages else [folder])])
            for one in stages]


def measured(case: Case) -> Scores:
    """Everybody's scores on the rows asked."""
    tokenizer = HFTokenizer(adapter.load_tokenizer(find_base(case.config.base)))
    rows, prompts = answers.prompts(case.asked, tokenizer, case.config.max_len)
    known = frozenset().union(*(metrics.labels(row.label) for row in case.gathered.validation))
    said = trivial(case.gathered.training, rows)
    for who, adapters in (("base", []), ("tuned", case.adapters)):
        said[who] = answers.answers(model(case, adapters), tokenizer, prompts, case.config.answer_tokens)
    wanted = ["rouge_1", "rouge_2", "rouge_l", *(["accuracy", "macro_f1"] if known else [])]
    scores = {}
    for who, texts in said.items():
        found = answers.score(rows, texts, known)
        words = statistics.mean(len(text.split()) for text in texts)
        scores[who] = {**{name: round(found[name], 4) for name in wanted}, "words": round(words, 1)}
    return scores


def model(case: Case, adapters: Sequence[Path]) -> Any:
    """The base with these adapters."""
    machine = adapter.choose_machine(case.config)
    base = adapter.load_base(find_base(case.config.base), machine, case.config)
    return adapter.continue_from(base, adapters, case.config) if adapters else base


def trivial(training: Sequence[Example], rows: Sequence[Example]) -> dict[str, list[str]]:
    """What can be answered without any model."""
    inputs = [_input(row) for row in rows]
    found = {"copy the input": inputs, "commonest answer": _commonest(training, rows),
             "nearest training answer": _nearest(training, inputs)}
    if any(PATIENT.search(text) for text in inputs):
        found["the patient's words"] = ["\n".join(PATIENT.findall(text)) for text in inputs]
    return found


def _commonest(training: Sequence[Example], rows: Sequence[Example]) -> list[str]:
    """The answer that occurs most often; of labelled rows the first one with the commonest label."""
    key: Callable[[Example], str] = (lambda row: row.label) if any(row.label for row in rows) else _answer
    found = {}
    for section in {row.section for row in rows}:
        near = [row for row in training if row.section == section] or training
        (common, _), = Counter(map(key, near)).most_common(1)
        found[section] = next(_answer(row) for row in near if key(row) == common)
    return [found[row.section] for row in rows]


def _nearest(training: Sequence[Example], inputs: Sequence[str]) -> list[str]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    vectorizer = TfidfVectorizer()
    known = vectorizer.fit_transform(_input(row) for row in training)
    nearest = (known @ vectorizer.transform(inputs).T).toarray().argmax(axis=0)
    return [_answer(training[k]) for k in nearest]


def _input(row: Example) -> str:
    return row.input or next(m["content"] for m in reversed(row.messages) if m["role"] == "user")


def _answer(row: Example) -> str:
    return row.messages[-1]["content"]


def show(case: Case, scores: Scores) -> None:
    """One table."""
    names = list(next(iter(scores.values())))
    print(f"\n{case.name}: {len(case.gathered.training):,} training rows, {len(case.asked)} validation rows asked")
    print(f"{'':32}" + "".join(f"{name:>10}" for name in names))
    for who, found in sorted(scores.items(), key=lambda item: item[1].get("accuracy", item[1]["rouge_1"])):
        print(f"{who:32}" + "".join(f"{found[name]:>10.4g}" for name in names), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--runs", default="", help="where the runs are kept")
    parser.add_argument("--set", nargs="*", default=[], metavar="recipe.key=value")
    asked = parser.parse_args()
    told: dict[str, Any] = {}
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        for name in asked.only:
            began, folder = time.monotonic(), Path(asked.runs or scratch).resolve() / name
            config = settings(name, asked.set)
            result = trained(config, folder)
            minutes = round((time.monotonic() - began) / 60, 1)
            told[name] = {**{key: result.get(key) for key in KEPT}, "minutes": minutes, "scores": {}}
            for case in cases(config, folder):
                scores = told[name]["scores"][case.name] = measured(case)
                show(case, scores)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
