"""One text -> labels: by the language model, or by what was learned from labelled rows; what the classify page asks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from corpus.read import whole_text
from models import runs
from models.errors import UserError
from tasks import sorter
from tasks.classifier import SETTINGS, Classifier
from tasks.classify import Labels, Paper, Sorted
from tasks.engine import Engine, TooLong
from tasks.sorter import Asking
from ui.actions.model import CurrentModel
from ui.actions.single import Single
from ui.job_list import JobList, JobView

MOST_LABELS, MOST_CHARS = 200, 1_000_000
HEADS = ("label", "labels", "name", "category", "class")        # of a column of labels


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What can be chosen from. labels: {name: what is meant by it}; learned: the folder of a classifier, which knows
    its labels itself."""

    labels: Mapping[str, str] = field(default_factory=dict)
    is_single: bool = False
    learned: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be classified, and under what."""

    text: str
    choice: Choice


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The labels of a text; about: what decided, and whether its confidence was calibrated, in sentences."""

    sorted: Sorted
    about: str


class Labellings(Single[Wanted, Labelled]):
    """The text that is being classified, or was last."""

    def __init__(self, model: CurrentModel):
        super().__init__(model, labelled)

    def begin(self, text: str, choice: Choice) -> None:
        """Classify a text. Raises UserError for an empty one, fewer than two labels, or while another is done."""
        if not text.strip():
            raise UserError("There is no text yet; paste one, or take the example.")
        if len(text) > MOST_CHARS:
            raise UserError(f"The text has {len(text):,} characters, and {MOST_CHARS:,} are taken at once; leave some "
                            "of it out.")
        self.ask(Wanted(text=whole_text(text.strip()), choice=checked(choice)))


def checked(choice: Choice) -> Choice:
    """The choice. Raises UserError if there is nothing to choose from."""
    if choice.learned is None and len(choice.labels) < 2:
        raise UserError("There are not two labels to choose from; write each on a line of its own.")
    if len(choice.labels) > MOST_LABELS:
        raise UserError(f"There are {len(choice.labels):,} labels, and {MOST_LABELS} can be told apart; name fewer.")
    return choice


def read_labels(text: str) -> dict[str, str]:
    """{label: what is meant by it, or ""} of lines "label" or "label: description". Raises UserError for a bad one.

    The lines may as well be two columns copied from a table, with their heads or without.
    """
    found: dict[str, str] = {}
    lines = [line for line in whole_text(text).splitlines() if line.strip()]
    divider = _divider(lines)
    if divider != ":" and lines[0].partition(divider)[0].strip().casefold() in HEADS:
        lines = lines[1:]
    for line in lines:
        name, _, meaning = line.partition(divider)
        name = " ".join(name.casefold().split())
        if not name or "|" in name:
            raise UserError(f"The line {line.strip()[:60]!r} names no label; write \"label\" or \"label: what is meant "
                            "by it\", without a \"|\".")
        if name in found:
            raise UserError(f"The label {name!r} stands there twice; name it once.")
        found[name] = " ".join(meaning.split())
    return found


def _divider(lines: Sequence[str]) -> str:
    """What stands between label and description: a tab or semicolon where columns of a table were pasted."""
    columns = [line.strip().partition("\t") for line in lines]
    if any(name and tab and ":" not in name for name, tab, _ in columns):
        return "\t"
    is_table = len(lines) > 1 and all(";" in line and ":" not in line.partition(";")[0] for line in lines)
    return ";" if is_table else ":"


def labelled(wanted: Wanted, opened: Callable[[], Engine]) -> Labelled:
    """The labels. Raises UserError where the model's context is too short for the labels."""
    choice, papers = wanted.choice, [Paper(text=wanted.text)]
    if choice.learned:
        fitted = Classifier.load(choice.learned)
        [found] = fitted.predict(papers, opened() if fitted.model else None)
        about = fitted.about
    else:
        labels = Labels(names=tuple(sorted(choice.labels)), is_single=choice.is_single)
        meanings = {name: meaning for name, meaning in choice.labels.items() if meaning}
        [found] = sorter.classify(opened(), papers, labels, Asking(descriptions=meanings))
        about = ("By the language model alone. Its confidence is as the model gives it, and was not calibrated; let it "
                 "learn from labelled rows to have that done.")
    if isinstance(found, TooLong):
        raise UserError(f"The labels and their descriptions are too long for this model ({found}); name fewer, or "
                        "choose a model with a longer context.")
    return Labelled(sorted=found, about=about)


def classifiers() -> list[Path]:
    """The folders of what was learned in runs, the newest first."""
    found = [path.parent for path in (runs.home() / "runs").glob(f"*/{runs.CLASSIFIER}/{SETTINGS}")]
    return sorted(found, key=lambda path: path.parent.name.rsplit("-", 2)[-2:], reverse=True)


def learners(jobs: JobList) -> list[JobView]:
    """The jobs that they were learned in."""
    return [jobs.view(folder.parent) for folder in classifiers()]


def learned_in(run: str) -> Path:
    """The folder of what was learned in a run. Raises UserError if nothing was."""
    found = next((folder for folder in classifiers() if folder.parent.name == run), None)
    if found is None:
        raise UserError("What was learned in that run is not here any more; choose another in the list.")
    return found


def written(labels: Mapping[str, str]) -> str:
    """Labels as the lines that read_labels reads."""
    return "\n".join(f"{name}: {meaning}" if meaning else name for name, meaning in labels.items())
