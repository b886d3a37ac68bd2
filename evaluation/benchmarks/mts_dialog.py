"""MTS-Dialog: a consultation, and the section of the note that a clinician wrote from it."""

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from evaluation.benchmarks.benchmark import MEAN, Benchmark, Case, Opened, Outcome, skipped
from evaluation.benchmarks.free import ENDED, METRICS, held_against, overlap
from evaluation.benchmarks.rows import BenchmarkRow, Rows, read_rows
from evaluation.config import EvaluateConfig
from models import runs
from tasks import headers
from tasks.engine import Engine, TooLong
from tasks.headers import HEADERS
from tasks.summarise import Consultation, Summary, sections

LAYOUT, TRAINING = "dialogue/section_text", ("train.csv", "MTS-Dialog-TrainingSet.csv")
PREDICTED = "predicted"
PATIENT = re.compile(r"^\s*patient\s*:", re.I)


def open_cases(source: str, config: EvaluateConfig) -> Opened:
    """The consultations of one of the official splits; each header is a group."""
    return cases(read_rows(source, LAYOUT, config), source, config)


def cases(found: Rows, source: str, config: EvaluateConfig) -> Opened:
    """Beside the model stand the dialogue itself, the patient's words, and, where the training split lies beside the
    file, from it the commonest note of the same header and the note of the dialogue most alike.
    """
    seen = _training(source, config)
    commonest, nearest = _commonest(seen), _nearest(found.rows, seen)
    made = []
    for name, row, near in zip(found.ids(), found.rows, nearest, strict=True):
        header, gold = row.example.section, _note(row)
        dialogue, is_predicted = row.example.input, config.headers == PREDICTED
        prompt = headers.request(dialogue, HEADERS) if is_predicted else row.example.messages[0]["content"]
        texts = {"the dialogue itself": dialogue, "the patient's words": patients_words(dialogue)}
        if seen:
            texts |= {"the header's commonest note": commonest.get(header, ""),
                      "the note of the nearest dialogue": near}
        made.append(Case(id=name, prompt=prompt, gold=gold, group=header, example=row.example,
                         task=Consultation(dialogue=dialogue, header="" if is_predicted else header),
                         baselines={name: overlap(gold, text)[METRICS[0]] for name, text in texts.items()}))
    return Opened(cases=tuple(made), notes=found.notes)


def patients_words(dialogue: str) -> str:
    """The lines that the patient says."""
    return "\n".join(PATIENT.sub("", line) for line in dialogue.splitlines() if PATIENT.match(line))


def _note(row: BenchmarkRow) -> str:
    return row.example.messages[-1]["content"]


def _training(source: str, config: EvaluateConfig) -> tuple[BenchmarkRow, ...]:
    """The rows of the training split beside the file; none where there is none, or it is the file itself."""
    path = runs.typed(source)
    folder = path if path.is_dir() else path.parent
    training = next((folder / name for name in TRAINING if (folder / name).is_file()), None)
    if not source or training is None or training == path:
        return ()
    return read_rows(str(training), LAYOUT, config, is_strict=False).rows


def _commonest(rows: Sequence[BenchmarkRow]) -> dict[str, str]:
    """{header: its commonest note, of equally common ones the first}."""
    notes: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        notes[row.example.section][_note(row)] += 1
    return {header: found.most_common(1)[0][0] for header, found in notes.items()}


def _nearest(rows: Sequence[BenchmarkRow], seen: Sequence[BenchmarkRow]) -> list[str]:
    """For each row the note of the training dialogue with the likest words (cosine of TF-IDF)."""
    if not seen:
        return [""] * len(rows)
    from sklearn.feature_extraction.text import TfidfVectorizer
    vectorizer = TfidfVectorizer()
    known = vectorizer.fit_transform([row.example.input for row in seen])
    likeness = vectorizer.transform([row.example.input for row in rows]) @ known.T
    return [_note(seen[int(likeness[k].toarray().argmax())]) for k in range(len(rows))]


def score(engine: Engine, cases: Sequence[Case], config: EvaluateConfig) -> list[Outcome]:
    """The sections that a model writes for a group of consultations."""
    known = HEADERS if config.headers == PREDICTED else {}
    found = sections(engine, [case.task for case in cases], config.max_tokens, known)
    return [_outcome(case, one, config) for case, one in zip(cases, found, strict=True)]


def _outcome(case: Case, found: Summary | TooLong, config: EvaluateConfig) -> Outcome:
    if isinstance(found, TooLong):
        return skipped(found)
    outcome = held_against(case.gold, found.text)
    header = {"header": float(found.header == case.group)} if config.headers == PREDICTED and case.group else {}
    return dataclasses.replace(
        outcome, note=" ".join(found.notes),
        values={**outcome.values, **header, "marked": len(found.marks), ENDED: float(not found.is_cut)})


BENCHMARK = Benchmark(
    name="mts_dialog", title="MTS-Dialog", licence="CC BY 4.0", source="https://github.com/abachaa/MTS-Dialog",
    split="validation 100, test1 200, test2 200 consultations; the official files are not on the hub",
    kind=MEAN, metrics=(*METRICS, "header", "marked", ENDED), shares=("header", ENDED),
    knobs=("headers", "max_tokens"), is_english_only=True,
    about="How many words (ROUGE-1), pairs of words (ROUGE-2) and runs of words in order (ROUGE-L) the section shares "
          "with the clinician's: F1 with English stemming, by the rouge-score library. It does not see an invented or "
          "a wrong number. \"header\" is the share of headers predicted as the clinicians chose them; \"marked\" the "
          "places of a section that its conversation does not say, by the program's own search (fewer is better); "
          "\"ended\" the share of sections that ended by themselves.",
    open=open_cases, score=score)
