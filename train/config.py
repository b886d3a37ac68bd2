"""What a training run can be told: TrainConfig, and the ready recipes that are one written down."""

import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import knobs
from models.errors import UserError

RECIPES = Path(__file__).parent / "recipes"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A LoRA run: which rows, on which base, how. base is a folder, or "demo" for the embedded model."""

    recipe: str = field(default="", metadata=dict(label="Recipe"))
    base: str = field(default="demo", metadata=dict(label="Base model"))
    data: tuple[str, ...] = field(default=(), metadata=dict(label="Training files"))
    eval: tuple[str, ...] = field(default=(), metadata=dict(label="Validation files"))
    eval_share: float = field(default=0.1, metadata=dict(
        label="Share of rows set aside for validation when no file is given", min=0.01, max=0.5))

    rank: int = field(default=16, metadata=dict(label="LoRA rank", min=1, max=256))
    alpha: int = field(default=32, metadata=dict(label="LoRA alpha", min=1, max=1024))
    dropout: float = field(default=0.05, metadata=dict(label="LoRA dropout", min=0, max=0.9))
    targets: tuple[str, ...] = field(default=PROJECTIONS, metadata=dict(
        label="Projections that get LoRA", choices=PROJECTIONS))
    load_4bit: bool = field(default=False, metadata=dict(label="QLoRA: base weights in 4-bit NF4"))
    precision: str = field(default="auto", metadata=dict(
        label="Arithmetic", choices=("auto", "bfloat16", "float32")))

    lr: float = field(default=2e-4, metadata=dict(label="Learning rate", min=1e-7, max=0.1))
    epochs: float = field(default=3.0, metadata=dict(label="Passes over the rows", min=0.01, max=1000))
    max_steps: int = field(default=0, metadata=dict(
        label="Steps (0 = as the passes give)", unit="steps", min=0, max=10_000_000))
    batch: int = field(default=8, metadata=dict(label="Batch", unit="samples", min=1, max=1024))
    accumulate: int = field(default=1, metadata=dict(label="Batches a step", min=1, max=1024))
    max_len: int = field(default=1024, metadata=dict(label="Longest sample", unit="tokens", min=8, max=131_072))
    schedule: str = field(default="cosine", metadata=dict(
        label="Learning rate schedule", choices=("cosine", "linear", "constant")))
    warmup: float = field(default=0.05, metadata=dict(label="Share of the steps that warms up", min=0, max=0.5))
    weight_decay: float = field(default=0.0, metadata=dict(label="Weight decay", min=0, max=1))
    clip: float = field(default=1.0, metadata=dict(label="Largest gradient norm (0 = any)", min=0, max=1000))
    seed: int = field(default=0, metadata=dict(label="Seed", min=0, max=2**31 - 1))

    evals: int = field(default=8, metadata=dict(label="Evaluations a run", min=1, max=1000))
    patience: int = field(default=0, metadata=dict(
        label="Stop after this many evaluations without a better one (0 = never)", min=0, max=1000))
    threads: int = field(default=0, metadata=dict(label="Threads (0 = all cores)", min=0, max=1024))

    def __post_init__(self) -> None:
        knobs.check(self)
        if not self.targets:
            raise UserError(f"Projections that get LoRA is empty; name some of {', '.join(PROJECTIONS)}.")

    def steps(self, samples: int) -> int:
        """Optimizer steps of a run over this many training samples."""
        return self.max_steps or max(1, math.ceil(self.epochs * self.steps_an_epoch(samples)))

    def steps_an_epoch(self, samples: int) -> int:
        """Optimizer steps of one pass over this many samples."""
        return math.ceil(math.ceil(samples / self.batch) / self.accumulate)

    def warmup_steps(self, steps: int) -> int:
        """Steps of a run of this many at whose start the rate still grows from 0; the last step always learns."""
        return min(math.ceil(self.warmup * steps), steps - 1)

    def eval_steps(self, samples: int) -> frozenset[int]:
        """The steps after which the validation loss is measured; the last step is always one."""
        last = self.steps(samples)
        return frozenset(max(1, round(last * k / self.evals)) for k in range(1, self.evals + 1))


def load_recipe(name: str) -> dict[str, Any]:
    """The values of a recipe, by name or as the path of a .toml file, with its name as "recipe".

    Raises UserError for an unknown name (listing the known ones) or a file that is no valid recipe.
    """
    path = Path(name).expanduser() if name.endswith(".toml") else RECIPES / f"{name}.toml"
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
