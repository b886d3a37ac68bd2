"""What an answer is asked with: a preset's name, a system prompt and the sampling; kept with it as JSON."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from models import knobs
from models.errors import UserError
from runtime.config import SampleConfig
from tasks.chat import PRESETS
from tasks.chat import preset as preset_of

# what a person sets; the others of SampleConfig are for programs
SHOWN = ("temperature", "max_tokens", "top_k", "top_p", "min_p", "repeat_penalty", "seed", "stop")


@dataclass(frozen=True, kw_only=True)
class Asking:
    """The settings of one answer. model: the listed name of who is to answer; "": the one in use."""
    preset: str = ""
    system: str = ""
    sampling: SampleConfig = field(default_factory=SampleConfig)
    model: str = ""

    def to_json(self) -> str:
        """The settings as the history keeps them."""
        sampling = {name: value for name, value in knobs.to_json(self.sampling).items() if name in SHOWN}
        return json.dumps({"preset": self.preset, "system": self.system, "sampling": sampling, "model": self.model})


def of_preset(name: str, sampling: SampleConfig | None = None) -> Asking:
    """What the embedded preset called name asks, over sampling. UserError for an unknown name; "" asks nothing."""
    found = preset_of(name)
    values = {**asdict(sampling or SampleConfig()), **found.sampling}
    return Asking(preset=found.name, system=found.system, sampling=knobs.from_json(SampleConfig, values))


def from_json(text: str) -> Asking:
    """What to_json wrote. What another version of Galen wrote otherwise is left at its default."""
    try:
        values: Any = json.loads(text or "{}")
    except ValueError:
        return Asking()
    if not isinstance(values, dict):
        return Asking()
    words = {name: values[name] for name in ("preset", "system", "model") if isinstance(values.get(name), str)}
    if "system" not in words and is_embedded(words.get("preset", "")):
        return of_preset(words["preset"])       # as the first versions of Galen kept it
    given = values.get("sampling")
    return Asking(sampling=_sampling(given if isinstance(given, dict) else {}), **words)


def is_embedded(name: str) -> bool:
    """True for the name of a preset that Galen brings along."""
    return name in [one.name for one in PRESETS]


def _sampling(given: dict[str, Any]) -> SampleConfig:
    read = SampleConfig()
    for name in (one.name for one in fields(SampleConfig) if one.name in given and one.name in SHOWN):
        try:
            read = knobs.from_json(SampleConfig, {**asdict(read), name: given[name]})
        except UserError:
            continue                    # out of today's limits
    return read
