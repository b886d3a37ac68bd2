"""The programming interface for labels of medical texts: create_model, train, predict, evaluate, save and load.

    from ui.classifier import create_model
    with create_model("gemma2-2b", num_labels=10, max_length=512) as model:
        model.train(texts, labels)
        print(model.predict(["..."])[0]["predicted_domains"])
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evaluation.batch import scores
from models import library, runs
from models.errors import UserError
from tasks import classifier, classify
from tasks.classifier import Classifier
from tasks.classify import Labels, Paper, Sorted
from tasks.engine import TooLong
from tasks.sorter import Asking
from ui import jobs
from ui.actions import train

# what people call a model -> its names on the hub, as they lie in Hugging Face's cache and begin a GGUF's name
HUB = {"gemma-2b": ("google/gemma-2b-it", "google/gemma-2b"),
       "gemma2-2b": ("google/gemma-2-2b-it", "google/gemma-2-2b"),
       "gemma2-9b": ("google/gemma-2-9b-it", "google/gemma-2-9b"),
       "gemma3-1b": ("google/gemma-3-1b-it", "google/gemma-3-1b-pt"),
       "gemma3-4b": ("google/gemma-3-4b-it", "google/gemma-3-4b-pt"),
       "medgemma-4b": ("google/medgemma-4b-it", "google/medgemma-4b-pt")}
VALIDATION_ROWS = 100               # of more than twice as many: weights, calibration and thresholds are fitted on them
SETTINGS = "model.json"
ROWS, HELD = "rows.jsonl", "held.jsonl"         # of a tuning: what it learns from, what it is watched on

Row = tuple[str, Sequence[str]]     # a text and its labels
Given = Sequence[str] | str         # the labels of one text: a list of them, or a text with "|" between


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a model was created with. source: the file or folder of its language model, "" = it has none."""

    name: str
    num_labels: int
    max_length: int
    fast_mode: bool
    source: str


def create_model(name: str, num_labels: int, max_length: int = 512, fast_mode: bool = False) -> "Model":
    """A model that can be trained. name: "demo", a GGUF, a listed model, a folder, or a name as "gemma2-2b".

    num_labels: the most labels there are. max_length: tokens of a text with its instruction; a longer text loses its
    middle, never the instruction. fast_mode: words alone (TF-IDF and a linear model), without the language model.
    Raises UserError if the language model is not on this machine.
    """
    for value, what, least in ((num_labels, "num_labels", 2), (max_length, "max_length", 64)):
        if value < least:
            raise UserError(f"{what} is {value}; use {least} or more.")
    source = "" if fast_mode else found(name)
    return Model(Settings(name=name, num_labels=num_labels, max_length=max_length, fast_mode=fast_mode, source=source))


def load_model(folder: str) -> "Model":
    """The model that Model.save wrote. Raises UserError if folder holds none, or its language model is gone."""
    path = runs.typed(folder)
    values = runs.read_json(path / SETTINGS)
    try:
        settings = Settings(**values)
    except TypeError as error:
        raise UserError(f"{path / SETTINGS} is of no classifier ({error}).") from error
    if settings.source and not Path(settings.source).exists():
        raise UserError(f"The language model {settings.source} of the classifier in {path} is gone; put it back.")
    model = Model(settings)
    model.fitted = Classifier.load(path)
    return model


def found(name: str) -> str:
    """The file or folder of a language model on this machine. Raises UserError if there is none of that name."""
    path = runs.typed(name)
    if path.exists():
        return str(path.resolve())
    folder = runs.home() / "runs" / name
    if folder.is_dir():
        return str(folder)
    names = HUB.get(name.casefold(), (name,))
    begins = tuple(one.rpartition("/")[2].casefold() for one in names) if name.casefold() in HUB else ()
    models = library.chat_models()
    for model in models:
        if name == model.name or (begins and model.path.name.casefold().startswith(begins)):
            return str(model.path)
    for hub_name in names:
        try:
            return str(library.find_base(hub_name))
        except UserError:
            continue
    there = ", ".join(model.name for model in models)
    raise UserError(f"The language model {name!r} is not on this machine; there are {there}. Download it (hf download "
                    f"{names[0]}), give the path of a GGUF or of a model folder, or take fast_mode=True: a linear "
                    "model over words, which needs none.")


class Model:
    """Labels for texts, learned from labelled texts; its language model is opened once, when it is first needed."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.fitted: Classifier | None = None
        self._engine: Any = None

    @property
    def about(self) -> str:
        """What it is and rests on, in sentences; a linear model says that it is one."""
        if self.fitted is None:
            return f"{self.settings.name}: not trained yet."
        return f"{self.settings.name}: {self.fitted.about}"

    def train(self, texts: Sequence[str], labels: Sequence[Given], seed: int = 0, tune: bool = False,
              settings: Sequence[str] = ()) -> dict[str, Any]:
        """Learn from texts and the labels of each: the linear model, how much the language model counts beside it,
        calibration and thresholds. Returns what it came to; scores are evaluate()'s, on other texts.

        tune: the language model itself is tuned on the rows first (LoRA, the recipe "classify", as a run of its own;
        settings: others for it, as "epochs=1"); its base must be there as a Hugging Face folder.
        Raises UserError for texts without labels, one label for all, or more labels than num_labels.
        """
        papers, golds = _papers(texts), _golds(labels, len(texts))
        names = tuple(sorted({label for gold in golds for label in gold}))
        if len(names) > self.settings.num_labels:
            raise UserError(f"The texts have {len(names)} labels ({', '.join(names[:20])}), and num_labels is "
                            f"{self.settings.num_labels}; create the model with num_labels={len(names)}.")
        rows = list(range(len(papers)))
        held: list[int] = []
        if not self.settings.fast_mode and (tune or len(rows) > 2 * VALIDATION_ROWS):
            drawn = {papers[k].text for k in random.Random(seed).sample(rows, min(VALIDATION_ROWS, len(rows) // 4))}
            held = [k for k in rows if papers[k].text in drawn]         # a text that recurs is on one side only
        kept = [k for k in rows if k not in set(held)]
        validation = ([papers[k] for k in held], [golds[k] for k in held]) if held else None
        if tune:
            self._tune([(papers[k].text, golds[k]) for k in kept], [(papers[k].text, golds[k]) for k in held],
                       [f"seed={seed}", *settings])
        self.fitted = classifier.fit(
            [papers[k] for k in kept], [golds[k] for k in kept], self._opened(), validation=validation, seed=seed,
            labels=Labels(names=names, is_single=all(len(gold) == 1 for gold in golds)),
            asking=Asking(max_tokens=self.settings.max_length))
        return {"kind": self.fitted.kind, "about": self.about, "labels": list(names), "training_rows": len(kept),
                "validation_rows": len(held)}

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """For each text {"predicted_domains", "confidence": how likely it is that exactly these are right,
        "confidence_scores": {label: probability}, "by": what decided, "note"}.

        Raises UserError before train.
        """
        return [_shown(one) for one in self._predicted(texts)]

    def evaluate(self, texts: Sequence[str], labels: Sequence[Given]) -> dict[str, Any]:
        """Subset accuracy with its 95% interval, F1, precision and recall of each label, the trivial answer beside
        them, on texts that it did not learn from. n: how many were scored."""
        golds = _golds(labels, len(texts))
        said = [None if isinstance(one, TooLong) else one.labels for one in self._predicted(texts)]
        return scores.labels(golds, said, self.fitted.labels.names if self.fitted else ())

    def save(self, folder: str) -> None:
        """Write it into folder; load_model reads it. Raises UserError before train."""
        if self.fitted is None:
            raise UserError("There is nothing to save: train the model first.")
        path = runs.typed(folder)
        runs.make_folder(path)
        self.fitted.save(path)
        runs.write_json(path / SETTINGS, dict(vars(self.settings)))

    def close(self) -> None:
        """End the language model's process."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _predicted(self, texts: Sequence[str]) -> list[Sorted | TooLong]:
        if self.fitted is None:
            raise UserError("The model has not been trained; call train(texts, labels), or load_model(folder).")
        return self.fitted.predict(_papers(texts), self._opened())

    def _tune(self, rows: Sequence[Row], held: Sequence[Row], settings: Sequence[str]) -> None:
        """Train a LoRA on rows, watched on held, and open the tuned model from now on."""
        if not self.settings.source:
            raise UserError("fast_mode has no language model to tune; create the model without it.")
        source = Path(self.settings.source)
        base = library.DEMO_NAME if source.parent == runs.DEMO_BASE else str(source)
        library.find_base(base)                         # before anything is written: only a model folder can be tuned
        folder = runs.new_run("classifier")
        for name, some in ((ROWS, rows), (HELD, held)):
            (folder / name).write_bytes(b"".join(
                runs.json_bytes({"text": text, "labels": list(labels)}) + b"\n" for text, labels in some))
        config = train.train_config("classify", train.Wishes(
            base=base, data=[str(folder / ROWS)], evaluation=[str(folder / HELD)],
            assignments=["max_words=0", f"max_len={self.settings.max_length}", *settings]))
        run, process = train.start(config, str(folder / "run"))
        for _ in jobs.follow(run, process):
            pass
        self.close()
        self.settings = replace(self.settings, source=str(run / runs.ADAPTER))

    def _opened(self) -> Any:
        """The language model, opened at the first call; None in fast mode."""
        if self._engine is None and self.settings.source:
            from runtime.engines import open_engine
            self._engine = open_engine(self.settings.source)
        return self._engine


def _papers(texts: Sequence[str]) -> list[Paper]:
    if isinstance(texts, str):
        raise UserError("texts is one text; give a list of texts.")
    if (wrong := next((k for k, text in enumerate(texts) if not isinstance(text, str)), None)) is not None:
        raise UserError(f"Text {wrong + 1:,} is {texts[wrong]!r:.40}, not a text; leave it out, or give \"\" for it.")
    return [Paper(text=text) for text in texts]


def _golds(labels: Sequence[Given], texts: int) -> list[tuple[str, ...]]:
    """The labels of each text. Raises UserError if they are not as many as the texts."""
    if isinstance(labels, str) or len(labels) != texts:
        raise UserError(f"There are {texts:,} texts and {1 if isinstance(labels, str) else len(labels):,} rows of "
                        "labels; give each text its own.")
    if (wrong := next((k for k, one in enumerate(labels) if not isinstance(one, Iterable)), None)) is not None:
        raise UserError(f"The labels of text {wrong + 1:,} are {labels[wrong]!r:.40}; give a list of labels, as "
                        "[\"cardiology\"].")
    cells = [label for label in labels if isinstance(label, str)]
    between = classify.separators(cells) if cells else "|"
    return [classify.names(one, between) if isinstance(one, str) else
            tuple(dict.fromkeys(" ".join(str(label).casefold().split()) for label in one)) for one in labels]


def _shown(one: Sorted | TooLong) -> dict[str, Any]:
    if isinstance(one, TooLong):
        return {"predicted_domains": [], "confidence": 0.0, "confidence_scores": {}, "by": "",
                "note": f"too long: {one}"}
    return {"predicted_domains": list(one.labels), "confidence": one.confidence, "by": " + ".join(one.by),
            "confidence_scores": dict(one.probabilities), "note": one.note}
