"""What a training run can be told: TrainConfig, and the ready recipes that are one written down."""

import math
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from models import knobs, runs
from models.errors import UserError
from models.knobs import Tables

RECIPES = Path(__file__).parent / "recipes"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataConfig):
    """A LoRA run: which rows, on which base, how. base is a folder, or "demo" for the embedded model.

    stages: tables of settings that differ from this config, in order, each with a "name"; empty = one stage, this one.
    """

    recipe: str = field(default="", metadata=dict(label="Recipe"))
    base: str = field(default="demo", metadata=dict(label="Base model"))
    name: str = field(default="", metadata=dict(label="Name of the stage"))
    stages: Tables = field(default=(), metadata=dict(label="Stages"))
    start: str = field(default="adapter", metadata=dict(
        label="A stage goes on from the adapter before it, or from that merged", choices=("adapter", "merged")))

    rank: int = field(default=16, metadata=dict(label="LoRA rank", min=1, max=256))
    alpha: int = field(default=32, metadata=dict(label="LoRA alpha", min=1, max=1024))
    dropout: float = field(default=0.05, metadata=dict(label="LoRA dropout", min=0, max=0.9))
    targets: tuple[str, ...] = field(default=PROJECTIONS, metadata=dict(
        label="Projections that get LoRA", choices=PROJECTIONS))
    use_rslora: bool = field(default=False, metadata=dict(label="Rank-stabilized LoRA (alpha / sqrt(rank))"))
    use_dora: bool = field(default=False, metadata=dict(label="DoRA: direction and magnitude apart"))
    load_4bit: bool = field(default=False, metadata=dict(label="QLoRA: base weights in 4-bit NF4"))
    load_8bit: bool = field(default=False, metadata=dict(label="QLoRA: base weights in 8 bits"))
    precision: str = field(default="auto", metadata=dict(
        label="Arithmetic", choices=("auto", "bfloat16", "float32")))
    device: str = field(default="auto", metadata=dict(label="Device", choices=("auto", "cpu", "cuda", "mps")))

    lr: float = field(default=2e-4, metadata=dict(label="Learning rate", min=1e-7, max=0.1))
    epochs: float = field(default=3.0, metadata=dict(label="Passes over the rows", min=0.01, max=1000))
    max_steps: int = field(default=0, metadata=dict(
        label="Steps (0 = as the passes give)", unit="steps", min=0, max=10_000_000))
    batch: int = field(default=8, metadata=dict(label="Batch", unit="samples", min=1, max=1024))
    accumulate: int = field(default=1, metadata=dict(label="Batches a step", min=1, max=1024))
    max_len: int = field(default=1024, metadata=dict(label="Longest sample", unit="tokens", min=8, max=131_072))
    packing: str = field(default="auto", metadata=dict(
        label="A batch's samples laid end to end, not padded (auto = where the device does it well)",
        choices=("auto", "on", "off")))
    gradient_checkpointing: bool = field(default=False, metadata=dict(
        label="Activations computed twice, to save memory"))
    optimizer: str = field(default="auto", metadata=dict(
        label="Optimizer", choices=("auto", "adamw", "paged_adamw_8bit")))
    schedule: str = field(default="cosine", metadata=dict(
        label="Learning rate schedule", choices=("cosine", "linear", "constant")))
    warmup: float = field(default=0.05, metadata=dict(label="Share of the steps that warms up", min=0, max=0.5))
    weight_decay: float = field(default=0.0, metadata=dict(label="Weight decay", min=0, max=1))
    clip: float = field(default=1.0, metadata=dict(label="Largest gradient norm (0 = any)", min=0, max=1000))

    evals: int = field(default=8, metadata=dict(label="Evaluations a run", min=1, max=1000))
    best_by: str = field(default="loss", metadata=dict(
        label="The best checkpoint has the best validation", choices=("loss", "rouge_l", "macro_f1", "accuracy")))
    metric_rows: int = field(default=40, metadata=dict(
        label="Validation rows answered for a metric", unit="rows", min=1, max=100_000))
    shown_answers: int = field(default=2, metadata=dict(
        label="Validation answers shown at each evaluation", min=0, max=20))
    answer_tokens: int = field(default=128, metadata=dict(
        label="Longest answer at an evaluation", unit="tokens", min=1, max=8192))
    patience: int = field(default=0, metadata=dict(
        label="Stop after this many evaluations without a better one (0 = never)", min=0, max=1000))
    checkpoints: int = field(default=8, metadata=dict(
        label="Checkpoints a run, to resume from", min=1, max=10_000))
    report_to: tuple[str, ...] = field(default=(), metadata=dict(
        label="Loggers beside TensorBoard", choices=("wandb", "trackio")))
    keep_awake: bool = field(default=True, metadata=dict(label="Keep the machine awake"))
    notify: bool = field(default=True, metadata=dict(label="A notice when done"))
    threads: int = field(default=0, metadata=dict(label="Threads (0 = all cores)", min=0, max=1024))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.targets:
            raise UserError(f"Projections that get LoRA is empty; name some of {', '.join(PROJECTIONS)}.")
        if self.load_4bit and self.load_8bit:
            raise UserError("The base weights can be in 4 bits or in 8, not both; switch one off.")
        self.stage_configs()

    def stage_configs(self) -> list["TrainConfig"]:
        """One config a stage: this one with that stage's settings over it. Raises UserError naming the stage."""
        if not self.stages:
            return [self]
        common = {**knobs.to_json(self), "stages": []}
        configs = []
        for number, stage in enumerate(self.stages, 1):
            name = stage.get("name")
            try:
                if "stages" in stage or "base" in stage:
                    raise UserError("a stage has neither stages nor a base of its own")
                if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", name):
                    raise UserError(f"its name is {name!r}; use letters, digits and dashes")
                configs.append(knobs.from_json(TrainConfig, {**common, **stage}))
            except UserError as error:
                raise UserError(f"Stage {number}: {error}") from error
        names = [config.name for config in configs]
        if len(set(names)) < len(names):
            raise UserError(f"Two stages have one name ({', '.join(names)}); give each its own.")
        return configs

    def steps(self, samples: int, processes: int = 1) -> int:
        """Optimizer steps of a run over this many training samples."""
        return self.max_steps or max(1, math.ceil(self.epochs * self.steps_an_epoch(samples, processes)))

    def steps_an_epoch(self, samples: int, processes: int = 1) -> int:
        """Optimizer steps of one pass over this many samples."""
        return math.ceil(samples / (self.batch * self.accumulate * processes))

    def warmup_steps(self, steps: int) -> int:
        """Steps of a run of this many at whose start the rate still grows from 0; the last step always learns."""
        return min(math.ceil(self.warmup * steps), steps - 1)

    def eval_steps(self, samples: int, processes: int = 1) -> frozenset[int]:
        """The steps after which the validation loss is measured; the last step is always one."""
        return _spread(self.evals, self.steps(samples, processes))

    def checkpoint_steps(self, samples: int, processes: int = 1) -> frozenset[int]:
        """The steps after which a checkpoint is written; the last step is always one."""
        return _spread(self.checkpoints, self.steps(samples, processes))


def _spread(times: int, steps: int) -> frozenset[int]:
    """So many steps out of all, evenly, the last one included."""
    return frozenset(max(1, round(steps * k / times)) for k in range(1, times + 1))


def load_recipe(name: str) -> dict[str, Any]:
    """The values of a recipe, by name or as the path of a .toml file, with its name as "recipe".

    Raises UserError for an unknown name (listing the known ones) or a file that is no valid recipe.
    """
    path = runs.typed(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if name not in recipe_names() and not (name.endswith(".toml") and path.is_file()):
        raise UserError(f"There is no recipe {name!r}; there are {', '.join(recipe_names())}, "
                        "or give the path of a .toml file.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The recipe {path} can not be read: {error}.") from error
    values = {**values, "recipe": path.stem}
    knobs.from_json(TrainConfig, values)
    return values


def recipe_names() -> list[str]:
    """The names of the ready recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))
