"""What a run will learn from, token by token: `python -m train.preview RUN_DIR` writes it as records and as a page."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus import layouts
from corpus.gather import Gathered
from corpus.layouts import Example
from corpus.table import Unusable
from models import job as jobs
from models import knobs, runs
from models.job import Job
from models.library import find_base
from tasks.controls import controls_of
from tasks.hf_tokenizer import HFTokenizer
from tasks.prompt import terminator
from tasks.visible import visible
from train.config import TrainConfig
from train.preview_page import page
from train.samples import IGNORED, Prepared, Sample, prepare
from train.worker import set_up_libraries

RANDOM_SAMPLES = 2
SHOWN_ROWS = 20                 # of a finding; all of them stand in the run's findings
BARS = 16                       # of the length histogram, about
BROKEN = "\ufffd"               # a token that holds part of a character decodes to this
MAX_PARTS = 8                   # tokens that one character may be spread over


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some of a sample's text, mostly one token.

    kind: "context"; "control" (context that the template wrote as a control token); "learned"; "end" (a learned
    terminator); "cut" (was there, and is not in the sample). ids: empty for "cut".
    """

    kind: str
    text: str
    ids: tuple[int, ...]


def work(job: Job) -> None:
    """Write the preview of every stage of the run folder's config; nothing is trained."""
    config = knobs.from_json(TrainConfig, runs.read_json(job.folder / runs.CONFIG))
    set_up_libraries(config, job)
    base = find_base(config.base)
    job.event("phase", text="Reading the rows")
    from train.stages import gather_stages  # torch, after set_up_libraries()
    gathered = gather_stages(config, lambda text: job.event("note", text=text))
    stages, left_out = [], list[Unusable]()
    for one, rows in gathered:
        stages.append(_stage(one, rows, base, job, left_out))
    layouts.write_unusable(job.folder / runs.UNUSABLE, left_out)
    runs.write_json(job.folder / runs.FINDINGS, [asdict(found) for _, rows in gathered for found in rows.findings])
    preview = {"recipe": config.recipe, "base": base.name, "stages": stages}
    runs.write_json(job.folder / runs.PREVIEW_DATA, preview)
    with runs.whole_file(job.folder / runs.PREVIEW) as part:
        part.write_text(page(preview), encoding="utf-8")


def _stage(config: TrainConfig, gathered: Gathered, base: Path, job: Job, left_out: list[Unusable]) -> dict[str, Any]:
    """The records of a stage; the rows that are in none of its samples are added to left_out."""
    from train.adapter import load_tokenizer
    tokenizer = HFTokenizer(load_tokenizer(base))
    job.event("phase", text="Writing the rows as tokens")
    prepared = prepare(gathered.training, tokenizer, config.max_len)
    validation = prepare(gathered.validation, tokenizer, config.max_len)
    left_out += [*gathered.left_out, *prepared.unusable, *validation.unusable]
    chosen = choose(prepared, tokenizer.controls, config.seed)
    return {"name": config.name, "max_len": config.max_len, **figures(prepared, validation, gathered, config.max_len),
            "samples": [_record(prepared.examples[k], prepared.samples[k], reasons, tokenizer)
                        for k, reasons in chosen.items()]}


def _record(example: Example, sample: Sample, reasons: list[str], tokenizer: HFTokenizer) -> dict[str, Any]:
    return {"why": reasons, "file": visible(Path(example.file).name), "line": example.line, "tokens": len(sample.ids),
            "whole_tokens": sample.whole_tokens, "learned": sample.learned,
            "pieces": [asdict(piece) for piece in pieces(sample, tokenizer)]}


def figures(prepared: Prepared, validation: Prepared, gathered: Gathered, max_len: int) -> dict[str, Any]:
    """The counts of a stage, and how long its samples would be uncut."""
    samples, unusable = prepared.samples, [*prepared.unusable, *validation.unusable]
    return {"rows": len(samples), "validation_rows": len(validation.samples), "test_rows": len(gathered.test),
            "left_out": len(gathered.left_out) + len(unusable), "cut": prepared.cut,
            "cut_words": prepared.cut_words(max_len),
            "tokens": sum(len(sample.ids) for sample in samples), "learned": sum(sample.learned for sample in samples),
            "lengths": histogram([sample.whole_tokens for sample in samples]),
            "tables": [f"{one.rows:,} rows: {visible(one.describe())}" for one in gathered.recognised],
            "findings": [{"text": visible(found.text), "rows": [
                {name: _cell(name, value) for name, value in row.items()} for row in found.rows[:SHOWN_ROWS]]}
                for found in gathered.findings if found.count],
            "too_long": [{"file": visible(Path(row.file).name), "line": row.line, "reason": visible(row.reason)}
                         for row in unusable[:SHOWN_ROWS]]}


def _cell(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return visible(Path(value).name if name.endswith("file") else value)


def histogram(lengths: Sequence[int]) -> dict[str, Any]:
    """{"step", "counts"}: counts[k] samples have k * step + 1 to (k + 1) * step tokens; step is a round number."""
    least = max(1.0, max(lengths) / BARS)
    step = next(round_one for power in range(12) for factor in (1, 2, 4, 5)
                if (round_one := factor * 10 ** power) >= least)
    counts = [0] * -(-max(lengths) // step)
    for length in lengths:
        counts[(length - 1) // step] += 1
    return {"step": step, "counts": counts}


def choose(prepared: Prepared, controls: frozenset[str], seed: int) -> dict[int, list[str]]:
    """{number of a sample: why it is shown}: those that show most, and some by chance."""
    samples, chosen = prepared.samples, dict[int, list[str]]()

    def show(why: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            chosen.setdefault(number, []).append(why)

    every = range(len(samples))
    show("the longest", [max(every, key=lambda k: samples[k].whole_tokens)])
    cut = [k for k in every if samples[k].cut]
    show("cut most", [max(cut, key=lambda k: samples[k].whole_tokens)] if cut else [])
    show("the shortest", [min(every, key=lambda k: len(samples[k].ids))])
    show("the longest answer", [max(every, key=lambda k: samples[k].learned)])
    show("several answers", [k for k in every if _answers(prepared.examples[k]) > 1][:1])
    find = controls_of(controls).first
    show("control strings in its text, which stay text", [
        k for k in every if any(find(message["content"]) for message in prepared.examples[k].messages)][:1])
    draw = random.Random(f"{seed} preview")
    others = [k for k in every if k not in chosen]
    show("drawn by chance", sorted(draw.sample(others, min(RANDOM_SAMPLES, len(others)))))
    return chosen


def _answers(example: Example) -> int:
    return sum(message["role"] == "assistant" for message in example.messages)


def pieces(sample: Sample, tokenizer: HFTokenizer) -> list[Piece]:
    """The sample's text in order; all ids of the pieces together are the sample's."""
    end, controls = terminator(tokenizer), set(tokenizer.hf.all_special_ids)
    controls |= {number for number, token in tokenizer.hf.added_tokens_decoder.items()
                 if str(token) in tokenizer.controls}
    found = []
    for start, ids, text in _texts(sample, tokenizer):
        if sample.cut and start == sample.cut.at:
            found.append(Piece(kind="cut", text=visible(sample.cut.text), ids=()))
        is_learned = sample.labels[start] != IGNORED
        kind = ("end" if ids == (end,) else "learned") if is_learned else "control" if ids[0] in controls else "context"
        found.append(Piece(kind=kind, text=visible(text), ids=ids))
    return found


def _texts(sample: Sample, tokenizer: HFTokenizer) -> Iterator[tuple[int, tuple[int, ...], str]]:
    """(place, ids, text) of each token; tokens that share one character come together."""
    anchor = tokenizer.encode("a", control=False)[-1:]      # a decoder may drop a space at the very start
    before = len(_decoded(tokenizer, anchor))
    start = 0
    while start < len(sample.ids):
        count = 1
        text = _decoded(tokenizer, anchor + sample.ids[start:start + 1])[before:]
        while BROKEN in text and count < MAX_PARTS and _goes_on(sample, start, count):
            count += 1
            text = _decoded(tokenizer, anchor + sample.ids[start:start + count])[before:]
        if BROKEN in text and count > 1:                    # no character after all: one at a time
            count, text = 1, BROKEN
        yield start, tuple(sample.ids[start:start + count]), text
        start += count


def _goes_on(sample: Sample, start: int, count: int) -> bool:
    """True if the next token may belong to the same piece: learned alike, and no cut between."""
    at = start + count
    is_alike = at < len(sample.ids) and (sample.labels[at] == IGNORED) == (sample.labels[start] == IGNORED)
    return is_alike and not (sample.cut and sample.cut.at == at)


def _decoded(tokenizer: HFTokenizer, ids: list[int]) -> str:
    return tokenizer.hf.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


if __name__ == "__main__":
    jobs.main(work)
