"""A config.json whose settings are of the wrong kind, or beyond any model, is refused by the name of the setting."""

import re
from pathlib import Path
from typing import Any

import pytest

from convert.families import FAMILIES
from models.errors import UserError

NO_NUMBERS = [None, True, "x", "1e-6", "", [], [1], {}, {"a": 1}, float("nan"), float("inf"), 1e300, 10**400, -1, 0]
NO_SIZES = [*NO_NUMBERS, 2.5, 10**20, 2**31]
NO_TABLES = [True, 5, "x", [1], 2.5]
ODD: dict[str, tuple[list[str], list[Any]]] = {
    "rms_norm_eps": (["gemma", "gemma2", "gemma3_text", "gemma4_text", "qwen3"], NO_NUMBERS),
    "max_position_embeddings": (["gemma", "gemma3_text", "qwen3"], NO_SIZES),
    "num_hidden_layers": (["gemma", "gemma2", "gemma3_text", "gemma4_text", "qwen3"], [*NO_SIZES, 10_001]),
    "sliding_window": (["gemma2", "gemma3_text", "gemma4_text"], NO_SIZES),
    "final_logit_softcapping": (["gemma2", "gemma3_text", "gemma4_text"], ["x", [1], {"a": 1}, True, -1, 1e300]),
    "rope_scaling": (["gemma", "gemma2", "gemma3_text", "llama", "qwen3"], NO_TABLES),
    "rope_parameters": (list(FAMILIES), NO_TABLES),
    "rope_theta": (["gemma", "gemma3_text", "llama", "qwen3"], ["x", [1], {"a": 1}, -1, 1e300]),
    "layer_types": (["gemma2", "gemma3_text", "gemma4_text", "qwen3"], [5, True, "x", [5], [[]], {"a": 1}, 2.5]),
    "sliding_window_pattern": (["gemma3_text"], ["x", [1], {"a": 1}, -1, 2.5]),
    "per_layer_config": (["gemma4_text"], [5, "x", [1], {"x": 1}, {"1": 5}, {"5": {"head_dim": "x"}}]),
    "global_head_dim": (["gemma4_text"], ["x", [1], -1, 2**31]),
    "hidden_size_per_layer_input": (["gemma4_text"], ["x", [1], -1, True]),
}


@pytest.mark.parametrize(("key", "family"), [
    (key, family) for key, (families, _) in ODD.items() for family in families])
def test_a_setting_of_the_wrong_kind_is_named(key: str, family: str):
    for value in ODD[key][1]:
        with pytest.raises(UserError) as error:
            FAMILIES[family].metadata({key: value})
        assert re.search(f"{key}|scales positions", str(error.value)) and len(str(error.value)) < 400, value


@pytest.mark.parametrize("value", [True, 5, "x", [1]])
def test_a_vision_part_that_is_no_table_is_named(tmp_path: Path, value: Any):
    with pytest.raises(UserError, match="vision_config = .* it must hold settings by name"):
        FAMILIES["gemma3"].projector(dict(vision_config=value), tmp_path)
