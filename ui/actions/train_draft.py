"""A training that is being prepared: the files it was given and what was chosen, kept in its run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models import catalog, knobs, runs
from models.base import weight_files
from models.errors import UserError
from models.knobs import Tables
from models.library import DEMO_NAME
from train.config import RECIPES, TrainConfig, load_recipe, recipe_names
from ui.actions import train
from ui.actions.train import Wishes

ROLES = {"data": "to learn from", "eval": "to validate with", "guard": "never to be learned: a test set"}
# the recipe that a table is offered first, by the layout it was recognised as
SUITED = {"dialogue/section_text": "summarise", "title/abstract/group": "classify", "messages": "chat",
          "ShareGPT": "chat"}
USUAL = "answer"
# fields that stand in no form: they are chosen by what the page offers for each
CHOSEN_ELSEWHERE = ("recipe", "base", "name", "stages", "data", "eval", "guard", "layout", "columns")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What was chosen so far. files: {"file": its path, "role": one of ROLES, "stage": "" for all of them}.

    settings: what differs from the recipe, "rank=8"; of_stages: the same for one stage, "pubmedqa.lr=1e-3".
    """

    recipe: str = field(default=USUAL, metadata=dict(label="Recipe"))
    base: str = field(default="", metadata=dict(label="Base model"))
    files: Tables = field(default=(), metadata=dict(label="Files"))
    layout: str = field(default="", metadata=dict(label="Layout"))
    columns: tuple[str, ...] = field(default=(), metadata=dict(label="Columns by hand"))
    settings: tuple[str, ...] = field(default=(), metadata=dict(label="Settings"))
    of_stages: tuple[str, ...] = field(default=(), metadata=dict(label="Settings of one stage"))

    def __post_init__(self) -> None:
        knobs.check(self)

    def paths(self, role: str) -> list[str]:
        """The files of one role as a recipe's wishes name them: FILE, or STAGE=FILE."""
        return [f"{one['stage']}={one['file']}" if one["stage"] else one["file"] for one in self.files
                if one["role"] == role]

    def stages(self) -> list[str]:
        """The names of the recipe's stages; empty where it has one stage only."""
        return [stage["name"] for stage in load_recipe(self.recipe).get("stages", ())]

    def config(self) -> TrainConfig:
        """The run that this describes. Raises UserError for what is missing or does not fit."""
        if not self.paths("data"):
            raise UserError("There are no rows to learn from yet; give a file in step 1.")
        for stage in self.stages():
            if not any(one["role"] == "data" and one["stage"] in ("", stage) for one in self.files):
                raise UserError(f"The stage {stage} has no file to learn from; choose one for it in step 1.")
        return train.train_config(self.recipe, Wishes(
            base=self.base, data=self.paths("data"), evaluation=self.paths("eval"), guard=self.paths("guard"),
            columns=self.columns, layout=self.layout, assignments=(*self.settings, *self.of_stages)))

    def as_set(self) -> TrainConfig:
        """The settings alone, as a form shows them: nothing is asked of files and base."""
        values = {**load_recipe(self.recipe), **knobs.parse(TrainConfig, list(self.settings))}
        return knobs.from_json(TrainConfig, {**values, **({"base": self.base} if self.base else {})})

    def with_settings(self, values: Mapping[str, Any], of_stages: str) -> "Draft":
        """The draft with these settings. Raises UserError with the sentence about the first that does not fit."""
        recipe = knobs.from_json(TrainConfig, load_recipe(self.recipe))
        replace(recipe, **values)
        changed = tuple(f"{name}={_as_text(value)}" for name, value in values.items()
                        if value != getattr(recipe, name))
        lines = tuple(line.strip() for line in of_stages.splitlines() if line.strip()) if self.stages() else ()
        _check_stages(lines, self.stages())
        return replace(self, settings=changed, of_stages=lines)

    def sheet(self) -> str:
        """The sheet of a workbook that is read; "" for the only one."""
        return next((one.partition("=")[2] for one in self.settings if one.startswith("sheet=")), "")

    def of_sheet(self, title: str) -> "Draft":
        """The draft with that sheet; "" for the only one."""
        others = tuple(one for one in self.settings if not one.startswith("sheet="))
        return replace(self, settings=(*others, f"sheet={title}") if title else others)

    def mapped(self, field_name: str, column: str) -> "Draft":
        """The draft with a field read from this column; "" leaves it to the column's name."""
        others = tuple(pair for pair in self.columns if pair.partition("=")[0] != field_name)
        return replace(self, columns=(*others, f"{field_name}={column}") if column else others)


def _as_text(value: Any) -> str:
    """A value as knobs.parse reads it."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _check_stages(lines: Sequence[str], stages: Sequence[str]) -> None:
    for line in lines:
        stage, dot, rest = line.partition(".")
        if not dot or stage not in stages:
            raise UserError(f"Settings of one stage has {line!r}; write STAGE.setting=value, where STAGE is one of "
                            f"{', '.join(stages)}.")
        if not {*CHOSEN_ELSEWHERE}.isdisjoint(knobs.parse(TrainConfig, [rest])):
            raise UserError(f"Settings of one stage has {line!r}; files, base and recipe are chosen above.")


def of(folder: Path) -> Draft:
    """The draft in a run folder. Raises UserError if it is damaged."""
    return knobs.from_json(Draft, runs.read_json(folder / runs.DRAFT))


def keep(draft: Draft, folder: Path) -> None:
    """Write the draft to its run folder."""
    runs.write_json(folder / runs.DRAFT, knobs.to_json(draft))


def of_config(config: TrainConfig) -> Draft:
    """A draft that describes a run which was made in another way, with its settings."""
    is_known = config.recipe in recipe_names()
    recipe = config.recipe if is_known else USUAL
    values = load_recipe(recipe)
    plain = knobs.from_json(TrainConfig, values)
    names = [name for name in knobs.to_json(config) if name not in CHOSEN_ELSEWHERE]
    changed = {name: getattr(config, name) for name in names if getattr(config, name) != getattr(plain, name)}
    files = [{"file": path, "role": role, "stage": one.name if config.stages else ""}
             for one in config.stage_configs() for role in ROLES for path in getattr(one, role)]
    draft = Draft(recipe=recipe, base=config.base, files=tuple(files), layout=config.layout, columns=config.columns)
    return draft.with_settings(changed, "")


def recipes() -> list[tuple[str, str]]:
    """(name, what it is for in a sentence) of each ready recipe: those for the embedded model first."""
    found = [(name, _sentence(name)) for name in recipe_names()]
    return sorted(found, key=lambda one: "base" in load_recipe(one[0]))


def _sentence(recipe: str) -> str:
    """The first sentence of the comment that a recipe begins with."""
    words: list[str] = []
    for line in (RECIPES / f"{recipe}.toml").read_text(encoding="utf-8").splitlines():
        text = line.lstrip("#").strip()
        if not line.startswith("#") or text.startswith("train "):
            break
        words += text.split()
        if words and words[-1].endswith((".", ").")):
            break
    sentence = " ".join(words)
    first = sentence.split(". ")[0].rstrip(".") + "."
    return first.replace("->", "→").replace("`", "")


def bases() -> list[tuple[str, str]]:
    """(title, name) of each base model that is here: the embedded one, the user's folders, Hugging Face's cache.

    A folder of the cache that lacks weights (its download was cancelled) is none.
    """
    from models.hub_cache import root
    found = [("Galen demo, the embedded model", DEMO_NAME)]
    for path in sorted(runs.home().glob("*/config.json")):
        if any(path.parent.glob("*.safetensors")):
            found.append((path.parent.name, str(path.parent)))
    for path in sorted(root().glob("models--*/snapshots/*/config.json")):
        name = path.parents[2].name.removeprefix("models--").replace("--", "/")
        if name not in [one for _, one in found] and _has_weights(path.parent):
            entry = catalog.entry_for([name])
            found.append((f"{entry.title} ({name})" if entry else name, name))
    return found


def _has_weights(folder: Path) -> bool:
    try:
        return bool(weight_files(folder))
    except UserError:
        return False
