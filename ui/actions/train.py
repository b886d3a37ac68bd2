"""What `train` does: a recipe and the user's wishes -> a run folder -> a job: the run, its preview or its estimate."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import knobs, runs
from models.errors import UserError
from models.library import DEMO_NAME, find_base
from train.config import TrainConfig, load_recipe
from ui import jobs

MODULES = {"run": "train.worker", "preview": "train.preview", "estimate": "train.estimate"}
HUB = "hf:"


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user says beside the recipe, as words. data, evaluation, guard: FILE, or STAGE=FILE for one stage.

    assignments: "rank=8", or "STAGE.rank=8" for one stage; columns: "question=Frage".
    """

    base: str = ""
    data: Sequence[str] = ()
    evaluation: Sequence[str] = ()
    guard: Sequence[str] = ()
    columns: Sequence[str] = ()
    layout: str = ""
    assignments: Sequence[str] = ()


def train_config(recipe: str, wishes: Wishes) -> TrainConfig:
    """The recipe with the user's wishes laid over it; files and folders become absolute paths.

    Raises UserError for what does not fit, a missing file or base included.
    """
    values = load_recipe(recipe)
    stages = {stage["name"]: dict(stage) for stage in values.get("stages", ())}
    _lay_over(values, stages, _assigned(wishes.assignments, stages))
    said: dict[str, Any] = {"base": wishes.base, "layout": wishes.layout, "columns": tuple(wishes.columns)}
    _lay_over(values, stages, {"": {name: value for name, value in said.items() if value}})
    for name, files in (("data", wishes.data), ("eval", wishes.evaluation), ("guard", wishes.guard)):
        _lay_over(values, stages, {stage: {name: tuple(of_stage)} for stage, of_stage in
                                   _by_stage(files, stages).items()})
    for settings in (values, *stages.values()):
        for name in ("data", "eval", "guard"):
            if name in settings:
                settings[name] = tuple(_existing(path) for path in settings[name])
    if stages:
        values["stages"] = tuple({name: list(value) if isinstance(value, tuple) else value
                                  for name, value in settings.items()} for settings in stages.values())
    config = knobs.from_json(TrainConfig, values)
    for stage in config.stage_configs():
        if not stage.data:
            raise UserError(f"No training files are named for the stage {stage.name}; add --data {stage.name}=FILE."
                            if stages else "No training files are named; add --data FILE.")
    if config.base == DEMO_NAME:
        find_base(DEMO_NAME)
        return config
    return knobs.from_json(TrainConfig, {**knobs.to_json(config), "base": str(find_base(config.base))})


def _lay_over(values: dict[str, Any], stages: Mapping[str, dict[str, Any]],
              wished: Mapping[str, Mapping[str, Any]]) -> None:
    """What is wished for all stages ("") also wins over what the recipe says for one of them."""
    for stage, settings in wished.items():
        if stage:
            stages[stage].update(settings)
            continue
        values.update(settings)
        for one in stages.values():
            for name in settings:
                one.pop(name, None)


def _assigned(assignments: Sequence[str], stages: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{stage or "": {setting: value}}, "" first."""
    of_stage: dict[str, list[str]] = {"": []}
    for assignment in assignments:
        stage, dot, rest = assignment.partition("=")[0].partition(".")
        if dot and stage not in stages:
            raise UserError(f"There is no stage {stage!r}{_known(stages)}.")
        of_stage.setdefault(stage if dot else "", []).append(assignment[len(stage) + 1:] if dot else assignment)
    return {stage: knobs.parse(TrainConfig, words) for stage, words in of_stage.items()}


def _by_stage(files: Sequence[str], stages: Mapping[str, Any]) -> dict[str, list[str]]:
    """{stage or "": its files}, "" first."""
    found: dict[str, list[str]] = {}
    for file in files:
        stage, equals, path = file.partition("=")
        if not equals or (stage not in stages and (runs.typed(file).exists() or file.startswith(HUB))):
            stage, path = "", file
        elif stage not in stages:
            raise UserError(f"There is no stage {stage!r} for {file}{_known(stages)}.")
        found.setdefault(stage, []).append(path)
    return dict(sorted(found.items()))


def _known(stages: Mapping[str, Any]) -> str:
    return f"; there are {', '.join(stages)}" if stages else "; this recipe has none"


def start(config: TrainConfig, at: str = "", what: str = "run") -> tuple[Path, subprocess.Popen]:
    """Make a run folder (at, or a new one in home()/runs) and start there what is one of MODULES.

    A run that an estimate was made for gets that promise beside its config.
    """
    name = config.recipe or "train"
    folder = runs.new_run(name if what == "run" else f"{name}-{what}", at)
    if what == "run" and (promise := _promise_for(config)):
        runs.write_json(folder / runs.ESTIMATE, promise)
    return folder, jobs.start(MODULES[what], folder, config)


def resume(name: str) -> tuple[Path, subprocess.Popen, int]:
    """Start the run in a folder (its path, or its name in home()/runs) again; (folder, process, old events' end).

    Also starts a run that so far has an estimate or a preview only. Raises UserError if it is finished, or runs.
    """
    folder = runs.typed(name)
    if not folder.is_dir():
        folder = runs.home() / "runs" / name
    if not folder.is_dir():
        raise UserError(f"There is no folder {name}; give the run folder that the training named when it began.")
    folder = folder.resolve()
    if not any((folder / name).is_file() for name in (runs.LOG, runs.EVENTS)):
        raise UserError(f"{folder} is no run folder; give the one that the training named when it began.")
    config = knobs.from_json(TrainConfig, runs.read_json(folder / runs.CONFIG))
    if jobs.is_running(folder):
        raise UserError(f"The run in {folder} is still running; it needs no --resume.")
    result = folder / runs.RESULT
    is_cleared = not (folder / runs.CHECKPOINTS).exists()       # what a run does last
    if is_cleared and result.is_file() and not runs.read_json(result).get("is_stopped"):
        raise UserError(f"The run in {folder} is finished; its adapter is in {folder / runs.ADAPTER}.")
    (folder / runs.STOP).unlink(missing_ok=True)
    events = folder / runs.EVENTS
    seen = events.stat().st_size if events.is_file() else 0
    return folder, jobs.start(MODULES["run"], folder, config), seen


def _promise_for(config: TrainConfig) -> dict[str, Any] | None:
    """The newest estimate in home()/runs that was made for this very config, and after its data last changed."""
    told = sorted((runs.home() / "runs").glob(f"*/{runs.ESTIMATE}"), key=lambda path: -path.stat().st_mtime)
    for path in told:
        if _config_of(path.parent) == config:
            files = [Path(file) for one in config.stage_configs() for file in (*one.data, *one.eval, *one.guard)]
            is_fresh = all(file.stat().st_mtime < path.stat().st_mtime for file in files if file.exists())
            return runs.read_json(path) if is_fresh else None
    return None


def _config_of(folder: Path) -> TrainConfig | None:
    try:
        return knobs.from_json(TrainConfig, runs.read_json(folder / runs.CONFIG))
    except UserError:
        return None             # of another version, or damaged: no promise of this run


def _existing(path: str) -> str:
    if path.startswith(HUB):
        return path
    full = runs.typed(path).resolve()
    if not full.exists():
        raise UserError(f"There is no file {path}.")
    return str(full)
