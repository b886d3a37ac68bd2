"""Makes the demonstration model from public data: tokenizer, running text, turns, measurements, card."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.demo import card, rows, vocabulary
from models.demo.documents import Corpus, Document, read_corpus
from models.demo.fit import Progress, Stage, fit, write_curve
from models.demo.measure import measure
from models.demo.network import new_model

STEP_TOKENS = 4096
TEXT = Stage("text", steps=1500, tokens_per_step=STEP_TOKENS, peak_lr=4e-3, final_lr=8e-4)
TURNS = Stage("turns", steps=400, tokens_per_step=STEP_TOKENS, peak_lr=1e-3, final_lr=1e-5)
BRIEF = Stage("brief", steps=300, tokens_per_step=STEP_TOKENS, peak_lr=1e-3, final_lr=1e-5)
LAST = Stage("last", steps=200, tokens_per_step=STEP_TOKENS, peak_lr=6e-4, final_lr=1e-5)
LONG_STEPS = 150  # the last steps of running text are on rows of 2,048 tokens, the others on 1,024
SEED = 7
CURVE_ROWS = 24   # held-out rows of 1,024 tokens behind each point of the curve


def make_text(corpus: Corpus, out: Path, work: Path) -> None:
    """Stage 1: running text; leaves its weights in the work folder."""
    tokenizer = vocabulary.load_tokenizer(out)
    batches = long_and_short(encoded(tokenizer, corpus.training))
    fit(new_model(SEED), TEXT, batches, curve_batches(tokenizer, corpus), work)


def make_turns(corpus: Corpus, out: Path, work: Path) -> None:
    """Stage 2: question-answer turns of up to three sentences."""
    fit_turns(TURNS, "text", corpus, out, work)


def make_brief(corpus: Corpus, out: Path, work: Path) -> None:
    """Stage 3: turns of up to two sentences, so that more answers end."""
    fit_turns(BRIEF, "turns", corpus, out, work)


def make_last(corpus: Corpus, out: Path, work: Path) -> None:
    """Stage 4: the same with the answers that begin a table, cut before it; writes the finished model."""
    model = fit_turns(LAST, "brief", corpus, out, work)
    model.to(torch.bfloat16).save_pretrained(out)


def fit_turns(stage: Stage, before: str, corpus: Corpus, out: Path, work: Path) -> Any:
    """Go on from the stage before; returns the model."""
    tokenizer = vocabulary.load_tokenizer(out)
    model = new_model(SEED)
    model.load_state_dict(torch.load(work / f"{before}.pt")["model"])
    text = rows.text_stream(encoded(tokenizer, corpus.training), SEED + 2)
    turns = rows.encode_turns(tokenizer, corpus.training, stage.name, SEED)
    batches = rows.turn_batches(turns, text, (stage.steps, 4, 1024), SEED)
    fit(model, stage, batches, curve_batches(tokenizer, corpus), work)
    return model


def encoded(tokenizer: PreTrainedTokenizerBase, documents: list[Document]) -> list[list[int]]:
    return [tokenizer.encode(document.text, add_special_tokens=False) for document in documents]


def long_and_short(texts: list[list[int]]) -> Iterator[rows.Batch]:
    """Batches of stage 1: rows of 1,024 tokens, then of 2,048."""
    stream = rows.text_stream(texts, SEED + 1)
    yield from rows.text_batches(stream, TEXT.steps - LONG_STEPS, 4, 1024)
    yield from rows.text_batches(stream, LONG_STEPS, 2, 2048)


def curve_batches(tokenizer: PreTrainedTokenizerBase, corpus: Corpus) -> list[rows.Batch]:
    stream = rows.text_stream(encoded(tokenizer, corpus.held_out), SEED)
    return list(rows.text_batches(stream, CURVE_ROWS // 4, 4, 1024))


def make_tokenizer(corpus: Corpus, out: Path, work: Path) -> None:
    vocabulary.make_tokenizer([document.text for document in corpus.training], out)


def make_measurements(corpus: Corpus, out: Path, work: Path) -> None:
    """curve.csv, measured.json, curve.png and README.md; what the training took stands in its checkpoints."""
    progresses = {stage.name: Progress(**torch.load(work / f"{stage.name}.pt")["progress"])
                  for stage in (TEXT, TURNS, BRIEF, LAST)}
    training: dict[str, Any] = {"threads_at_most": os.cpu_count()}
    for name, progress in progresses.items():
        tokens = progress.step * STEP_TOKENS
        training[name] = {"steps": progress.step, "tokens": tokens, "seconds": round(progress.seconds)}
    write_curve(progresses, out / "curve.csv")
    print(measure(corpus, out, training))
    card.draw_curve(out)
    card.write_card(out, Path(__file__).with_name("card.md").read_text(encoding="utf-8"))


STEPS = {"tokenizer": make_tokenizer, "text": make_text, "turns": make_turns, "brief": make_brief,
         "last": make_last, "measure": make_measurements}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of medquad, pubmedqa, mts-dialog, aci-bench")
    parser.add_argument("--out", type=Path, required=True, help="where the model folder is written")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "galen-demo",
                        help="checkpoints, so that a stage can go on")
    parser.add_argument("--only", choices=STEPS, help="one step instead of all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for folder in (arguments.out, arguments.work):
        folder.mkdir(parents=True, exist_ok=True)
    corpus = read_corpus(arguments.data)
    for name in [arguments.only] if arguments.only else STEPS:
        STEPS[name](corpus, arguments.out, arguments.work)


if __name__ == "__main__":
    main()
