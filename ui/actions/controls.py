"""Which controls of the chat the model in use has no use for: its catalog entry says so."""

import functools
from dataclasses import fields, replace
from pathlib import Path

from models import catalog
from runtime.config import SampleConfig
from runtime.session import ModelInfo
from ui.actions.asking import SHOWN, Asking

PRESET, SYSTEM, PICTURE = "preset", "system", "picture"         # beside the fields of SampleConfig
ALL = (PRESET, SYSTEM, PICTURE, *SHOWN)


def lacking(info: ModelInfo | None) -> tuple[str, ...]:
    """The controls that the page does not show for a model; none for one that the catalog does not know."""
    return _lacking(info.name, Path(info.path).stem) if info else ()


@functools.lru_cache(maxsize=32)
def _lacking(*names: str) -> tuple[str, ...]:
    entry = catalog.entry_for(names)
    return tuple(one for one in ALL if one not in entry.controls) if entry else ()


def without(asked: Asking, lacked: tuple[str, ...]) -> Asking:
    """The settings of an answer without what the model lacks: a control that is not shown has no say."""
    plain = SampleConfig()
    sampling = replace(asked.sampling, **{one.name: getattr(plain, one.name) for one in fields(plain)
                                          if one.name in lacked})
    return replace(asked, sampling=sampling, system="" if SYSTEM in lacked else asked.system,
                   preset="" if PRESET in lacked else asked.preset)
