"""The main job from start to end on the embedded model: train, export, compare, chat."""

import dataclasses
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import layouts
from evaluation.config import CompareConfig
from models import runs
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session
from ui import jobs
from ui.actions import export, train
from ui.memory import PeakMemory

DATA = runs.ROOT / "corpus" / "demo"
TYPES = ("Q8_0", "Q4_0")
ROWS = "rows.jsonl"             # the held-out rows as conversations, in the comparison's folder
SHOWN_ROW = 1                   # whose answers stand side by side in the table
CTX_TOKENS = 1024

Follow = Callable[[Iterable[dict[str, Any]]], object]
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demonstration measured. rows: one dict a model, as the table and --json show it."""
    rows: list[dict[str, Any]]
    question: str
    reference: str
    answers: dict[str, str]     # by model
    chat: str                   # the tuned Q8_0's answer, streamed through a session
    wall_s: float
    peak_rss_mb: float          # summed over the process tree (PSS), sampled from outside
    folder: str


def run(follow: Follow, say: Say) -> DemoResult:
    """Run everything in a new run folder. follow shows a job's events, say prints a line or a piece of an answer."""
    began = time.monotonic()
    folder = runs.new_run("demo")
    memory = PeakMemory()
    memory.start()
    try:
        say("1 of 4: teaching the embedded model the demonstration's own consultations")
        trained = folder / "train"
        config = train.train_config("demo", train.Wishes(data=[str(DATA / "train.csv")]))
        _run_job(train.start(config, str(trained)), follow, say)
        say("2 of 4: merging, quantizing and checking")
        exported = trained / runs.EXPORT
        wanted = export.export_config([str(trained)], TYPES, out=str(exported), settings={"name": "consultations"})
        _run_job(export.start(wanted), follow, say)
        say("3 of 4: measuring base, tuned and quantized on held-out rows")
        ggufs = [next(exported.glob(f"*-{name}.gguf")) for name in TYPES]
        scores = _compare(folder / "compare", trained, ggufs, follow, say)
        say("4 of 4: the tuned model answers")
        shown = layouts.load([str(DATA / "heldout.csv")]).examples[SHOWN_ROW]
        chat = _chat(ggufs[0], shown, say)
    finally:
        peak_mb = memory.stop()
    keys = ("model", "val_loss", "rouge_l", "bytes", "tokens_per_s", "rows", "stopped")
    return DemoResult(
        rows=[{key: score[key] for key in keys} for score in scores], question=shown.messages[0]["content"],
        reference=shown.messages[-1]["content"], answers={s["model"]: s["answers"][SHOWN_ROW] for s in scores},
        chat=chat, wall_s=time.monotonic() - began, peak_rss_mb=peak_mb, folder=str(folder))


def _run_job(started: tuple[Path, subprocess.Popen], follow: Follow, say: Say) -> None:
    folder, process = started
    try:
        follow(jobs.follow(folder, process))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            say("Stopping ...")
        jobs.end(folder, process)       # nothing computes on behind the person's back
        raise


def _compare(folder: Path, trained: Path, ggufs: list[Path], follow: Follow, say: Say) -> list[dict[str, Any]]:
    runs.make_folder(folder)
    layouts.write_examples(folder / ROWS, layouts.load([str(DATA / "heldout.csv")]).examples)
    config = CompareConfig(base=str(runs.DEMO_BASE), adapter=str(trained / runs.ADAPTER),
                           ggufs=tuple(map(str, ggufs)), rows=str(folder / ROWS))
    _run_job((folder, jobs.start("evaluation.worker", folder, config)), follow, say)
    return runs.read_json(folder / runs.RESULT)


def _chat(gguf: Path, example: layouts.Example, say: Say) -> str:
    session = Session()
    try:
        session.load(gguf, LoadConfig(ctx_tokens=CTX_TOKENS))
        stream = session.chat(list(example.messages[:-1]), SampleConfig(temperature=0.0, max_tokens=96))
        return "".join(stream).strip()
    finally:
        session.close()


def as_json(result: DemoResult) -> dict[str, Any]:
    """The result as --json prints it."""
    return dataclasses.asdict(result)
