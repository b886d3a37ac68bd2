"""Perplexity: how surprised a model is by a text, or by the right answers of a file."""

import dataclasses
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.formats.encoding import text_of
from corpus.layouts import Example
from evaluation.benchmarks.benchmark import PERPLEXITY, Benchmark, Case, Opened, Outcome, skipped
from evaluation.benchmarks.rows import read_rows
from evaluation.config import EvaluateConfig
from models import runs
from models.errors import UserError
from tasks.engine import Engine, Ids, TooLong, too_long
from tasks.prompt import Message

TEXTS = (".txt", ".md", ".text")
PASSAGE_CHARS = 2_000               # of a plain text; each is read on its own


@dataclass(frozen=True, kw_only=True)
class Said:
    """text, and the conversation that it answers; () = plain text."""

    text: str
    messages: tuple[Message, ...] = ()


def open_cases(source: str, config: EvaluateConfig) -> Opened:
    """The passages of a text file, or the answers in a table of any known layout."""
    if not source:
        raise UserError("Perplexity needs a text of yours; name it with --file (.txt, .md, or a table with answers).")
    path = runs.typed(source)
    if path.suffix.lower() in TEXTS:
        text, notes = _read(path)
        return _beside([_passage(path, *one) for one in passages(text)], notes)
    found = read_rows(source, "", config, is_strict=False)
    cases = [_answer(name, row.example) for name, row in zip(found.ids(), found.rows, strict=True)]
    return dataclasses.replace(_beside(cases, found.notes), left_out=found.left_out)


def _read(path: Path) -> tuple[str, tuple[str, ...]]:
    if not path.is_file():
        raise UserError(f"The text {path} does not exist.")
    known = text_of(path)
    with known.open() as file:
        text = file.read().replace("\r\n", "\n")
    if not text.strip():
        raise UserError(f"{path} is empty.")
    return text, known.notes


def passages(text: str) -> list[tuple[int, str]]:
    """A text in pieces of whole lines, each with the line it begins at, about PASSAGE_CHARS long; longer lines are
    cut where a word ends. Nothing of the text is left out but space around the pieces.
    """
    found: list[tuple[int, str]] = []
    piece, began = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        while len(line) > PASSAGE_CHARS:
            at = line.rfind(" ", 1, PASSAGE_CHARS) if " " in line[1:PASSAGE_CHARS] else PASSAGE_CHARS
            found += [(began, piece), (number, line[:at])]
            piece, began, line = "", number, line[at:]
        if len(piece) + len(line) > PASSAGE_CHARS:
            found.append((began, piece))
            piece = ""
        if not piece.strip():
            piece, began = "", number
        piece += line + "\n"
    return [(line, piece.strip()) for line, piece in [*found, (began, piece)] if piece.strip()]


def _passage(path: Path, line: int, text: str) -> Case:
    example = Example(file=str(path), line=line, input=text, messages=(
        {"role": "user", "content": text}, {"role": "assistant", "content": ""}))
    return Case(id=f"{path.name}, line {line}", prompt="", gold=text, task=Said(text=text), example=example)


def _answer(name: str, example: Example) -> Case:
    *asked, said = example.messages
    return Case(id=name, prompt="\n\n".join(one["content"] for one in asked), gold=said["content"], example=example,
                task=Said(text=said["content"], messages=tuple(asked)))


def _beside(cases: Sequence[Case], notes: Sequence[str] = ()) -> Opened:
    """With the bits a byte that xz needs for all of the texts: what a model has to stay below to know anything."""
    whole = "\n".join(case.gold for case in cases).encode()
    bits = round(8 * len(lzma.compress(whole, preset=9)) / len(whole), 6)
    return Opened(notes=tuple(notes), cases=tuple(
        Case(id=c.id, prompt=c.prompt, gold=c.gold, task=c.task, example=c.example, baselines={"xz of the text": bits})
        for c in cases))


def score(engine: Engine, cases: Sequence[Case], config: EvaluateConfig) -> list[Outcome]:
    """What each of a group of texts costs, in nats; an answer with the token that ends it."""
    items = [_ids(engine, case.task) for case in cases]
    outcomes: list[Outcome | TooLong | None] = [too_long(engine, prompt, len(ids)) for prompt, ids in items]
    left = [k for k, outcome in enumerate(outcomes) if outcome is None]
    scores = engine.score([(items[k][0], [items[k][1]]) for k in left]) if left else []
    for k, (logprobs,) in zip(left, scores, strict=True):
        outcomes[k] = _outcome(logprobs, cases[k].gold)
    return [skipped(one) if isinstance(one, TooLong) else one for one in outcomes if one is not None]


def _ids(engine: Engine, said: Said) -> tuple[Ids, Ids]:
    """What stands before, and what is scored. A model that begins texts with nothing is given the end of a turn."""
    ids = engine.encode(said.text)
    if said.messages:
        return engine.prompt_ids(said.messages), [*ids, engine.terminator()]
    return engine.start() or [engine.terminator()], ids


def _outcome(logprobs: Sequence[float], text: str) -> Outcome:
    nats, tokens = -sum(logprobs), len(logprobs)
    return Outcome(value=nats / tokens, values={"nats": nats, "tokens": tokens, "bytes": len(text.encode())})


BENCHMARK = Benchmark(
    name="perplexity", title="Perplexity", licence="that of your text", source="a file of yours",
    split="the whole file", kind=PERPLEXITY, metrics=("perplexity",), is_higher_better=False,
    about="How many tokens the model wavers between, on average: exp of the mean loss. A text is read in passages of "
          f"about {PASSAGE_CHARS:,} characters, each on its own, so figures are higher than those of long windows; of "
          "a table only the answers count, each with its end. Perplexities of two models compare only where they share "
          "a tokenizer; bits a byte always do.",
    open=open_cases, score=score)
