"""What can be said of a task over a file: every knob of classify, summarise and answer, once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models import knobs
from models.errors import UserError

FREE = ("out", "threads")           # settings that a batch which goes on may change


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """What all tasks share. out: its ending says in which kind it is written; "" = beside the file, in its kind.

    model: a GGUF, a listed model, or the folder of a Hugging Face model, a run or an adapter.
    """

    file: str = field(metadata=dict(label="File"))
    out: str = field(default="", metadata=dict(label="File to write"))
    model: str = field(default="demo", metadata=dict(label="Model"))
    columns: tuple[str, ...] = field(default=(), metadata=dict(label="Columns by hand, as field=column"))
    sheet: str = field(default="", metadata=dict(label="Sheet of a workbook"))
    ctx_tokens: int = field(default=0, metadata=dict(
        label="Context (0 = as usual)", unit="tokens", min=0, max=1_048_576))
    exact: bool = field(default=False, metadata=dict(label="32-bit cache, no flash attention"))
    threads: int = field(default=0, metadata=dict(label="Threads", unit="(0: one for each core)", min=0, max=512))

    def __post_init__(self) -> None:
        knobs.check(self)


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig(BatchConfig):
    """Texts -> labels. labels: "" = those of the classifier, else of the rows that the model was tuned on, else the
    file's own. train: labelled rows that a classifier is fitted on first. fast: that classifier without the model.
    descriptions: a table of a label and what is meant by it, which names the labels as well."""

    task: str = field(default="classify", metadata=dict(label="Task", choices=("classify",)))
    labels: tuple[str, ...] = field(default=(), metadata=dict(label="Labels to choose from (empty = the file's)"))
    single: bool = field(default=False, metadata=dict(label="Each text has exactly one label"))
    train: str = field(default="", metadata=dict(label="Labelled rows to learn from"))
    classifier: str = field(default="", metadata=dict(label="Classifier that was fitted before"))
    fast: bool = field(default=False, metadata=dict(label="Words alone (TF-IDF), without the language model"))
    descriptions: str = field(default="", metadata=dict(label="Table of labels and what is meant by each"))
    by: str = field(default="sets", metadata=dict(
        label="The model is asked for all labels in one answer, or yes or no for each", choices=("sets", "each")))
    shots: int = field(default=0, metadata=dict(
        label="Training rows shown before each text as examples", unit="rows", min=0, max=50))
    seed: int = field(default=0, metadata=dict(label="Seed", min=0, max=2**31 - 1))


@dataclass(frozen=True, kw_only=True)
class SummariseConfig(BatchConfig):
    """Consultations -> sections of a note. header: for rows that name none; "" = the likeliest one is chosen.

    sections: of a whole note, in place of one section."""

    task: str = field(default="summarise", metadata=dict(label="Task", choices=("summarise",)))
    header: str = field(default="", metadata=dict(label="Section header (empty = the row's, else the likeliest)"))
    sections: tuple[str, ...] = field(default=(), metadata=dict(label="Sections of a whole note"))
    max_tokens: int = field(default=256, metadata=dict(label="Longest summary", unit="tokens", min=1, max=8192))


@dataclass(frozen=True, kw_only=True)
class AnswerConfig(BatchConfig):
    """Questions -> answers."""

    task: str = field(default="answer", metadata=dict(label="Task", choices=("answer",)))
    kind: str = field(default="auto", metadata=dict(
        label="Questions are", choices=("auto", "choice", "decision", "free")))
    by: str = field(default="letters", metadata=dict(
        label="Options are told apart by the likelihood of", choices=("letters", "texts")))
    per_token: bool = field(default=False, metadata=dict(label="Likelihoods are means over the tokens"))
    is_prior_corrected: bool = field(default=False, metadata=dict(
        label="What the model would choose without a question is taken out"))
    calibration: str = field(default="", metadata=dict(label="Calibration file"))
    threshold: float = field(default=0.0, metadata=dict(label="No answer below this probability", min=0, max=1))
    max_tokens: int = field(default=256, metadata=dict(label="Longest free answer", unit="tokens", min=1, max=8192))


CONFIGS: dict[str, type[BatchConfig]] = {"classify": ClassifyConfig, "summarise": SummariseConfig,
                                         "answer": AnswerConfig}


def from_json(values: Mapping[str, Any]) -> BatchConfig:
    """The config of the task that values name. Raises UserError if they name none."""
    task = values.get("task")
    if task not in CONFIGS:
        raise UserError(f"The task is {task!r}; use one of {', '.join(CONFIGS)}.")
    return knobs.from_json(CONFIGS[task], values)
