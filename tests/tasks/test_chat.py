"""Presets and the reminder."""

import pytest

from models import knobs, runs
from models.errors import UserError
from runtime.config import SampleConfig
from tasks.chat import PRESETS, REMINDER, preset


def test_every_preset_is_a_prompt_and_values_that_the_sampler_takes():
    assert [one.name for one in PRESETS] == ["patient", "clinician", "summariser", "tutor"]
    for one in PRESETS:
        assert len(one.system) > 100 and one.title and preset(one.name) is one
        knobs.from_json(SampleConfig, one.sampling)
    assert preset(" Tutor ").name == "tutor"
    assert (preset("").name, preset("").system, preset("").sampling) == ("", "", {})


def test_an_unknown_preset_is_told_with_the_nearest():
    with pytest.raises(UserError, match="no preset 'clinican' .*patient, clinician, .*did you mean 'clinician'"):
        preset("clinican")


def test_the_reminder_stands_in_one_place_and_in_no_prompt():
    places = [path for room in ("ui", "tasks", "runtime", "models") for path in (runs.ROOT / room).rglob("*.py")
              if REMINDER[-30:] in path.read_text(encoding="utf-8")]
    assert [path.name for path in places] == ["chat.py"]
    assert not any("medical device" in one.system for one in PRESETS)
