"""Several stages one behind the other, and what each did to what the others had taught."""

import gc
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from corpus import layouts
from corpus.gather import Gathered, gather
from corpus.identifiers import mask_finding
from corpus.layouts import Example
from corpus.leak import guard
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from models.library import find_base
from tasks.hf_tokenizer import HFTokenizer
from train import adapter, answers, batches, card, curve, loop, ranks, samples, stage
from train.config import TrainConfig
from train.learner import Learner
from train.peak import peak_rss_mb
from train.watch import Stopped

BEFORE = "before training"
SUMMED = ("steps", "samples", "validation_samples", "test_rows", "left_out", "cut", "train_s", "supervised_tokens",
          "disk_mb")
PEAKS = ("peak_rss_mb", "peak_vram_mb", "peak_disk_mb")
ENDS = ("done", "stopped", "error")     # the last event of a process
Scores = dict[str, dict[str, float]]        # validation set -> {"loss": nats a token, metric: 0 to 1}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a run: its own settings, run folder and rows."""

    config: TrainConfig
    folder: Path
    gathered: Gathered

    @property
    def adapter(self) -> Path:
        return self.folder / runs.ADAPTER

    @property
    def is_done(self) -> bool:
        """True if it was trained to its end, in this process or before an interruption."""
        return stage.finished(self.folder) and self.adapter.is_dir()


def run(config: TrainConfig, job: Job) -> None:
    """Train the stages of config in order; finished ones are not trained again.

    Each has a run folder of its own in job.folder's stages. What the run leaves beside them is what every run leaves,
    so that it is exported as one: the last adapter, held-out rows, curve, result (with the table of stage x set).
    Raises UserError as the stages do.
    """
    before_s, began = _start(job.folder)
    stages = prepared(config, job)
    scorer = Scorer(find_base(config.base), stages, job)
    table = _table(job.folder, stages)
    is_stopped = len(table) == 0 and not _add(table, BEFORE, scorer, 0, job)
    for number, one in enumerate(stages):
        if is_stopped:
            break
        job.event("phase", text=f"Stage {number + 1} of {len(stages)}: {one.config.name}", done=number, of=len(stages))
        if not one.is_done:
            before = [earlier.adapter for earlier in stages[:number]]
            is_stopped = stage.run(one.config, one.gathered, job, one.folder, before).is_stopped
        ranks.wait()                    # for the files of the first process
        if not is_stopped and len(table) == number + 1:
            is_stopped = not _add(table, one.config.name, scorer, number + 1, job)
    if ranks.is_first():
        finish(stages, table, job, is_stopped, began - before_s)


def prepared(config: TrainConfig, job: Job) -> list[Stage]:
    """The stages with their rows. No stage learns from a row that another one is validated or tested on."""
    found = [Stage(config=one, folder=job.folder / runs.STAGES / f"{number}-{one.name}", gathered=gathered)
             for number, (one, gathered) in enumerate(
                 gather_stages(config, lambda text: job.event("note", text=text)), 1)]
    if ranks.is_first():
        for made in found:
            runs.make_folder(made.folder)
            runs.write_json(made.folder / runs.CONFIG, knobs.to_json(made.config))
    return found


def gather_stages(config: TrainConfig, note: Callable[[str], None]) -> list[tuple[TrainConfig, Gathered]]:
    """Each stage's settings and rows, as the run, its preview and its estimate see them; without stages the only one.

    note gets a line for the person as each step is done. Raises UserError as gather does, or naming the stage.
    """
    configs = config.stage_configs()
    if not config.stages:
        return [(config, gather(config, note))]
    found = []
    for number, one in enumerate(configs, 1):
        if not one.data:
            raise UserError(f"The stage {one.name} has no training file; name it with --data {one.name}=FILE.")
        note(f"Stage {number}, {one.name}:")
        found.append(gather(one, note))
    return [(one, _guarded(one, gathered, {other.name: rows for other, rows in zip(configs, found, strict=True)
                                           if other is not one}, note))
            for one, gathered in zip(configs, found, strict=True)]


def _guarded(config: TrainConfig, gathered: Gathered, others: Mapping[str, Gathered], note: Callable[[str], None]
             ) -> Gathered:
    """gathered without the training rows that the other stages, by name, are validated or tested on."""
    sets = {f"the {kind} rows of the stage {name}": rows for name, other in others.items()
            for kind, rows in (("validation", other.validation), ("test", other.test)) if rows}
    checked = guard(gathered.training, sets, config)
    findings = [mask_finding(found, config) for found in checked.findings]
    for found in findings:
        if found.count:
            note(f"{config.name}: {found.text}")
    if not checked.kept:
        raise UserError(f"Every training row of the stage {config.name} also stands in what another stage is "
                        "validated or tested on; give other rows, or set leaks to keep.")
    return replace(gathered, training=checked.kept, left_out=(*gathered.left_out, *checked.left_out),
                   findings=(*gathered.findings, *findings))


def _start(folder: Path) -> tuple[float, float]:
    """Seconds of the processes that worked on the run before this one, and when this one began, as time.time().

    A process that was killed counts until its last event.
    """
    began, path = psutil.Process().create_time(), folder / runs.STARTED
    earlier = runs.read_json(path)["began"] if path.is_file() else []
    if ranks.is_first():
        runs.write_json(path, {"began": [*earlier, began]})
    return spent_s([*earlier, began], folder / runs.EVENTS), began


def spent_s(began: Sequence[float], path: Path) -> float:
    """Seconds from each beginning but the last to that process's last event. path: the run's events."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    events, total = [json.loads(line) for line in lines], 0.0
    for start, following in pairwise(began):
        own = [event for event in events if start <= event["t"] < following]
        end = next((event for event in own if event["kind"] in ENDS), own[-1] if own else None)
        total += end["t"] - start if end else 0.0
    return total


def _table(folder: Path, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """The rows of the table that an interrupted run had made of the stages that are done."""
    path = folder / runs.TABLE
    if not path.is_file():
        return []
    done = next((k for k, one in enumerate(stages) if not one.is_done), len(stages))
    return list(runs.read_json(path)[:done + 1])


def _add(table: list[dict[str, Any]], name: str, scorer: "Scorer", done: int, job: Job) -> bool:
    """Score every set with the stages done so far, and say so. False if somebody asked to stop."""
    try:
        scores = scorer.scores(done)
    except Stopped:
        return False
    table.append({"after": name, "scores": scores})
    if ranks.is_first():
        runs.write_json(job.folder / runs.TABLE, table)
        job.event("stage", name=name, done=done, scores=scores)
    return True


class Scorer:
    """Scores the validation rows of every stage."""

    def __init__(self, base: Path, stages: Sequence[Stage], job: Job):
        self._base, self._stages, self._job = base, stages, job
        self._tokenizer = HFTokenizer(adapter.load_tokenizer(base))
        self._rows = [samples.prepare(one.gathered.validation, self._tokenizer, one.config.max_len) for one in stages]

    def scores(self, done: int) -> Scores:
        """With the base and so many stages, as the next stage would start from them.

        Raises Stopped when somebody asks for it.
        """
        config, trained = self._stages[max(0, done - 1)].config, [one.adapter for one in self._stages[:done]]
        machine = adapter.choose_machine(config)
        ranks.start(machine.device)
        model = adapter.load_base(self._base, machine, config)
        learner = Learner(adapter.continue_from(model, trained, config) if trained else adapter.add_lora(model, config))
        found = {one.config.name: self._measured(learner, one.config, rows, machine)
                 for one, rows in zip(self._stages, self._rows, strict=True)}
        del model, learner
        gc.collect()                    # the next stage loads its own
        return found

    def _measured(self, learner: Learner, config: TrainConfig, rows: samples.Prepared, machine: adapter.Machine
                  ) -> dict[str, float]:
        pad = batches.Padded(self._tokenizer.hf.pad_token_id or 0)
        loss = loop.validation_loss(learner, rows.samples, pad, machine, config.batch, self._job.is_stop_asked)
        return {"loss": round(loss, 5), **self._metric(learner, config, rows.examples)}

    def _metric(self, learner: Learner, config: TrainConfig, rows: Sequence[Example]) -> dict[str, float]:
        """What the first process finds, in every process."""
        found: dict[str, float] | None = {}
        if config.best_by != "loss" and ranks.is_first():
            examiner = answers.Examiner(rows, self._tokenizer, replace(config, shown_answers=0), self._job)
            try:
                found = examiner.examine(learner, 0, self._check)
            except Stopped:
                found = None
        found = ranks.agree(found)
        if found is None:
            raise Stopped
        return {name: round(value, 5) for name, value in found.items()}

    def _check(self) -> None:
        if self._job.is_stop_asked():
            raise Stopped


def finish(stages: Sequence[Stage], table: Sequence[Mapping[str, Any]], job: Job, is_stopped: bool, since: float
           ) -> None:
    """Leave in the run's folder what the stages trained so far came to. since: when its time would have begun to
    count, had nothing interrupted it.
    """
    trained = [one for one in stages if (one.folder / runs.RESULT).is_file()]
    if not trained:
        return
    last, folder = trained[-1], job.folder
    rest = [one for one in trained if one is not last]
    for name in (runs.HELDOUT, runs.TEST):      # the last stage's first: a check reads no more than it needs
        rows = [row for one in (last, *rest) if (one.folder / name).is_file()
                for row in layouts.read_examples(one.folder / name)]
        layouts.write_examples(folder / name, rows)
    for name in (runs.UNUSABLE, runs.IDENTIFIERS):
        _join(folder / name, [one.folder / name for one in trained if (one.folder / name).is_file()])
    runs.write_json(folder / runs.FINDINGS, [
        {**found, "text": f"{one.config.name}: {found['text']}"} for one in trained
        if (one.folder / runs.FINDINGS).is_file() for found in runs.read_json(one.folder / runs.FINDINGS)])
    lines = (folder / runs.EVENTS).read_text(encoding="utf-8").splitlines()
    curve.draw([json.loads(line) for line in lines], folder / runs.CURVE)
    runs.write_json(folder / runs.RESULT, {
        **_result(trained, table), "is_stopped": is_stopped, "seconds": time.time() - since})
    if last.adapter.is_dir():
        _publish(last, folder)
        card.write(folder)
    for line in _told(table):
        job.event("note", text=line)


def _result(trained: Sequence[Stage], table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last stage's result; what adds up is added up, and "base" is the base, not what the last stage began with."""
    results = [runs.read_json(one.folder / runs.RESULT) for one in trained]
    whole = {**results[-1], "table": list(table), "stages": [
        {"name": one.config.name, **result} for one, result in zip(trained, results, strict=True)]}
    whole |= {name: sum(one[name] for one in results) for name in SUMMED}
    whole |= {name: max(one[name] for one in results) for name in PEAKS if results[0].get(name) is not None}
    whole["is_resumed"] = any(one.get("is_resumed") for one in results)
    whole["peak_rss_mb"] = max(whole["peak_rss_mb"], peak_rss_mb())         # scoring comes after the last stage
    whole["tokens_per_s"] = whole["supervised_tokens"] / whole["train_s"] if whole["train_s"] else 0.0
    if table:
        base = table[0]["scores"][trained[-1].config.name]
        whole |= {"base_val_loss": base["loss"], "base_metric": base.get(whole["metric"])}
    whole["fingerprints"] = {source: one for result in results for source, one in result["fingerprints"].items()}
    return whole


def _publish(last: Stage, folder: Path) -> None:
    """Copy the last stage's adapter to the run's; what it says of earlier ones is said from there."""
    target = folder / runs.ADAPTER
    with runs.scratch_folder(folder) as scratch:
        new = Path(shutil.copytree(last.adapter, Path(scratch) / "new"))
        note = runs.read_json(new / runs.BASE)
        if note.get("before"):
            places = [(last.adapter / one).resolve().relative_to(folder.resolve()) for one in note["before"]]
            runs.write_json(new / runs.BASE, {**note, "before": [f"../{one.as_posix()}" for one in places]})
        if target.exists():
            target.rename(Path(scratch) / "old")
        new.rename(target)


def _told(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table for the terminal."""
    if not table:
        return []
    heads, rows = card.stage_table(table)
    widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) if k == 0 else cell.rjust(width)
                       for k, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in (heads, *rows)]
    return ["Every stage's validation rows, before training and after each stage:", *lines]


def _join(path: Path, parts: Sequence[Path]) -> None:
    """One file of the lines of all; none where there are no parts."""
    if not parts:
        return
    with runs.whole_file(path) as part, part.open("wb") as file:
        for one in parts:
            file.write(one.read_bytes())
