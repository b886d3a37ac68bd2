"""The job that evaluates a model, or compares several on held-out rows: `python -m evaluation.worker RUN_DIR`."""

import dataclasses
import json
from pathlib import Path

from evaluation import report
from evaluation.compare import Engine, Score, gguf_engine, reference_engine, score
from evaluation.config import CompareConfig, EvaluateConfig
from evaluation.run import Stopped, evaluate
from models import job, knobs, runs
from models.base import weight_files
from models.errors import UserError
from models.job import Job
from runtime.config import LoadConfig
from runtime.engines import GgufEngine, ReferenceEngine, open_engine


def work(running: Job) -> None:
    """Do what config.json asks for: an EvaluateConfig names a benchmark, a CompareConfig rows.

    Returns early, without a result, once the job is asked to stop.
    """
    values = runs.read_json(running.folder / runs.CONFIG)
    try:
        if "benchmark" in values:
            _evaluate(knobs.from_json(EvaluateConfig, values), running)
            return
        scores = _scores(knobs.from_json(CompareConfig, values), running)
    except Stopped:
        return
    runs.write_json(running.folder / runs.RESULT, [dataclasses.asdict(s) for s in scores])


def _evaluate(config: EvaluateConfig, running: Job) -> None:
    """One benchmark on one model or two: items.jsonl, and the report on them; result.json holds its table."""
    def opened(source: str) -> GgufEngine | ReferenceEngine:
        running.event("phase", text=f"Loading {source}")
        return open_engine(source, exact=config.exact, threads=config.threads, ctx_tokens=config.ctx_tokens)

    stated = evaluate(config, running, opened)
    running.event("phase", text="Writing the report")
    found = report.write(running.folder, stated)
    runs.write_json(running.folder / runs.RESULT, found["rows"])


def _scores(config: CompareConfig, running: Job) -> list[Score]:
    """Score each model in turn, one in memory at a time."""
    rows = read_rows(Path(config.rows))
    base, adapter = Path(config.base), Path(config.adapter) if config.adapter else None
    scores = []
    for name, folder in [("base", None), *([("tuned", adapter)] if adapter else [])]:
        _begin(name, len(rows), running)
        engine, size = _reference(base, folder, config.threads)
        scores.append(score(name, _stoppable(engine, running), rows, size, config.max_tokens))
    for path in map(Path, config.ggufs):
        name = "tuned " + path.stem.rpartition("-")[2]
        _begin(name, len(rows), running)
        from runtime.probe import Probe
        model = Probe(path, LoadConfig(threads=config.threads))
        engine = _stoppable(gguf_engine(model), running)
        scores.append(score(name, engine, rows, path.stat().st_size, config.max_tokens))
        model.close()
    return scores


def _begin(name: str, rows: int, running: Job) -> None:
    """Say what comes next, unless the job is to stop: loading a model takes its time."""
    if running.is_stop_asked():
        raise Stopped
    running.event("phase", text=f"Measuring {name} on {rows} held-out rows")


def _stoppable(engine: Engine, running: Job) -> Engine:
    """engine, which raises Stopped at its next call once the job is to stop: within one row."""
    def logprobs(ids: list[int], start: int) -> list[float]:
        if running.is_stop_asked():
            raise Stopped
        return engine.logprobs(ids, start)

    def generate(ids: list[int], most: int) -> tuple[list[int], str]:
        if running.is_stop_asked():
            raise Stopped
        return engine.generate(ids, most)

    return dataclasses.replace(engine, logprobs=logprobs, generate=generate)


def read_rows(path: Path) -> list[list[dict[str, str]]]:
    """The conversations of a held-out file. Raises UserError if it is missing or holds none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"The held-out rows {path} can not be read ({error.strerror}).") from error
    rows = [json.loads(line)["messages"] for line in lines if line.strip()]
    if not rows:
        raise UserError(f"{path} holds no held-out rows, so there is nothing to measure on.")
    return rows


def _reference(base: Path, adapter: Path | None, threads: int) -> tuple[Engine, int]:
    from runtime.reference import Reference
    size = sum(path.stat().st_size for path in weight_files(base))
    if adapter:
        size += sum(path.stat().st_size for path in adapter.glob("*.safetensors"))
    return reference_engine(Reference(base, adapter, threads)), size


if __name__ == "__main__":
    job.main(work)
