"""Which items of a benchmark also stand, exactly or nearly, among the rows that a model was trained on."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import leak
from corpus.config import DataConfig
from corpus.findings import place, rows_word
from corpus.gather import gather
from corpus.layouts import Example, load
from corpus.leak import why
from corpus.read import fingerprint
from corpus.same import Cases, Match, traits
from corpus.table import TRAIN
from evaluation import embedded
from models import knobs, runs, tuned
from models.errors import UserError

Say = Callable[[str], None]
SIMILARITY = DataConfig().similarity
NEARBY = 3                          # folders above a model in which its run may be: RUN/export/X.gguf


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """leaks: {number of an item: which training row it also is}. text: what was looked for and found, a sentence."""

    leaks: Mapping[int, str]
    text: str


def look(examples: Mapping[int, Example], models: Sequence[str], named: str, say: Say) -> tuple[dict[int, str], str]:
    """({number of an item: which training row it also is}, what was looked for and found, in sentences).

    models: what will answer; the rows of the runs that each came from are looked for, and what the embedded model was
    made from. named: a run folder or a file whose rows are looked for in the place of those runs; "" = none.
    Raises UserError if the rows of what is named can not be read; of a run that nobody named the sentences say so.
    """
    origins = dict.fromkeys(one for model in models for one in ancestry(model))
    found: dict[int, str] = {}
    sentences = []
    if examples and any(map(embedded.is_embedded, origins)):
        found = embedded.learned(examples)
        sentences.append(_count(len(found), len(examples), "what the embedded model was made from"))
    sources = [named] if named else list(dict.fromkeys(str(run) for one in origins if (run := run_of(one))))
    for source in sources if examples else ():
        try:
            guarded = guard(examples, source, say)
        except UserError as error:
            if named:
                raise
            say(str(error))
            sentences.append(f"The training rows of {Path(source).name} can not be read any more, so nobody can say "
                             "which items it has seen.")
            continue
        found |= guarded.leaks
        sentences.append(guarded.text)
    return found, " ".join(sentences)


def _count(count: int, of: int, name: str) -> str:
    return f"{count:,} of {of:,} items {'is' if count == 1 else 'are'} also among {name}."


def ancestry(source: str) -> list[str]:
    """A model, the base that it was tuned from, that one's base, and so on, as far as their runs and adapters say."""
    found: list[str] = []
    while source and source not in found:
        found.append(source)
        source = _base_of(source)
    return found


def _base_of(source: str) -> str:
    """What a model was tuned from, as its run says, else its adapter; "" where nothing does."""
    if run := run_of(source):
        return str(runs.read_json(run / runs.CONFIG).get("base", ""))
    folder = runs.typed(source)
    if not (folder / tuned.CONFIG).is_file():
        return ""
    with suppress(UserError):               # its base is not here, and so nothing is known of it
        return tuned.base_of(folder)
    return ""


def run_of(source: str) -> Path | None:
    """The run folder that a model came from: its own, one above it, or a name in home()/runs; None if none is known."""
    for start in (runs.typed(source), runs.home() / "runs" / source):
        if start.exists():
            start = start.resolve()
            return next((one for one in (start, *list(start.parents)[:NEARBY]) if _is_run(one)), None)
    return None


def _is_run(folder: Path) -> bool:
    path = folder / runs.CONFIG
    if not path.is_file() or not (folder / runs.EVENTS).is_file():
        return False
    values = runs.read_json(path)
    return isinstance(values, dict) and "data" in values


def training_rows(source: str, say: Say) -> tuple[str, list[Example]]:
    """(what they are called, the rows) of a run folder, exactly those it learned from; or of a file, all of it.

    Raises UserError if they can not be read any more.
    """
    folder = run_of(source)
    if folder is None:
        found = load([source]).examples
        trained = [row for row in found if row.split in ("", TRAIN)]
        return f"the rows of {Path(source).name}", trained or list(found)
    configs = data_configs(runs.read_json(folder / runs.CONFIG))
    try:
        rows = _trained_on(configs)
        _tell_changes(folder, configs, say)
    except UserError as error:
        raise UserError(f"The training rows of {folder.name} can not be read any more, so nobody can say which items "
                        f"it has seen: {error}") from error
    return f"the training rows of {folder.name}", rows


def _trained_on(configs: Sequence[DataConfig]) -> list[Example]:
    """The training rows of all stages; no stage learns from rows that another one is validated or tested on."""
    found = [gather(config, lambda text: None) for config in configs]
    rows: list[Example] = []
    for config, one in zip(configs, found, strict=True):
        sets = {str(k): (*other.validation, *other.test) for k, other in enumerate(found) if other is not one}
        rows += leak.guard(one.training, sets, config).kept if sets else one.training
    return rows


def data_configs(values: Mapping[str, Any]) -> list[DataConfig]:
    """What a training's config.json says of its data, one for each stage."""
    names = {field.name for field in dataclasses.fields(DataConfig)}
    stages = values.get("stages") or [{}]
    return [knobs.from_json(DataConfig, {name: value for name, value in {**values, **stage}.items() if name in names})
            for stage in stages]


def _tell_changes(folder: Path, configs: Sequence[DataConfig], say: Say) -> None:
    """Say which training files are no longer what the run read."""
    path = folder / runs.RESULT
    known = runs.read_json(path).get("fingerprints", {}) if path.is_file() else {}
    for config in configs:
        for source in config.data:
            if source in known and fingerprint(source, config) != known[source]:
                say(f"{source} has changed since {folder.name} was trained on it; items are compared with what it "
                    "holds now.")


def guard(examples: Mapping[int, Example], source: str, say: Say) -> Guarded:
    """The items, by their numbers, that are also among the training rows of source."""
    name, rows = training_rows(source, say)
    numbers = list(examples)
    compared = traits([*examples.values(), *rows])
    known = Cases(compared[:len(numbers)], SIMILARITY)
    leaks: dict[int, tuple[Match, Example]] = {}
    for one, row in zip(compared[len(numbers):], rows, strict=True):
        for match in known.find(one):
            found = leaks.get(numbers[match.key])
            if found is None or match.similarity > found[0].similarity:
                leaks[numbers[match.key]] = match, row
    text = _count(len(leaks), len(numbers), f"{name} ({rows_word(len(rows))})")
    return Guarded(text=text, leaks={number: f"{place(row)}: {why(match, row)}" for number, (match, row)
                                     in sorted(leaks.items())})
