import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import knobs, runs
from models.errors import UserError
from train.config import TrainConfig, load_recipe, recipe_names

HEAVY = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "datasets", "matplotlib", "llama_cpp")


@pytest.mark.parametrize("values, words", [
    ({"rank": 0}, "LoRA rank is 0; use 1 to 256."),
    ({"lr": 3.0}, "Learning rate is 3; use 1e-07 to 0.1."),
    ({"lr": float("nan")}, "Learning rate is nan"),
    ({"batch": 2.5}, "Batch is 2.5; use a whole number."),
    ({"max_len": 4}, "Longest sample is 4; use 8 to 131072 tokens."),
    ({"schedule": "square"}, "Learning rate schedule is 'square'; use one of cosine, linear, constant."),
    ({"targets": ("lm_head",)}, "Projections that get LoRA is 'lm_head'; use one of q_proj"),
    ({"targets": ()}, "Projections that get LoRA is empty"),
    ({"precision": "float16"}, "Arithmetic is 'float16'; use one of auto, bfloat16, float32."),
])
def test_a_wrong_value_is_named_with_its_limits(values: dict, words: str):
    with pytest.raises(UserError) as error:
        TrainConfig(**values)
    assert words in str(error.value)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_a_config(name: str):
    values = load_recipe(name)
    config = knobs.from_json(TrainConfig, values)
    assert config.recipe == name
    assert knobs.from_json(TrainConfig, knobs.to_json(config)) == config


def test_the_recipes_that_the_commands_name_are_there():
    assert {"summarise", "answer", "demo"} <= set(recipe_names())


@pytest.mark.parametrize("content, words", [
    ("rank = ", "can not be read"), ("rnak = 8", "did you mean 'rank'"), ("rank = 0", "LoRA rank is 0")])
def test_a_recipe_of_ones_own_is_a_file(tmp_path: Path, content: str, words: str):
    path = tmp_path / "mine.toml"
    path.write_text("rank = 8", encoding="utf-8")
    assert load_recipe(str(path)) == {"rank": 8, "recipe": "mine"}
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        load_recipe(str(path))


@pytest.mark.parametrize("name", ["sumarise", "../config", "gone.toml", ""])
def test_an_unknown_recipe_lists_the_known_ones(name: str):
    with pytest.raises(UserError, match=r"There is no recipe .*; there are answer, .*summarise"):
        load_recipe(name)


@given(steps=st.integers(1, 1000), warmup=st.floats(0, 0.5))
def test_the_last_step_is_never_one_that_warms_up(steps: int, warmup: float):
    assert 0 <= TrainConfig(warmup=warmup).warmup_steps(steps) < steps
    assert steps < 2 or TrainConfig(warmup=0.05).warmup_steps(steps) == -(-steps // 20)


@given(samples=st.integers(1, 500), batch=st.integers(1, 20), accumulate=st.integers(1, 5),
       epochs=st.floats(0.01, 20), evals=st.integers(1, 30))
def test_the_last_step_is_always_evaluated(samples: int, batch: int, accumulate: int, epochs: float, evals: int):
    config = TrainConfig(batch=batch, accumulate=accumulate, epochs=epochs, evals=evals)
    steps, at = config.steps(samples), config.eval_steps(samples)
    assert steps >= 1 and max(at) == steps and min(at) >= 1 and len(at) <= evals


def test_config_corpus_and_worker_start_without_heavy_libraries():
    code = ("import sys, corpus.read, corpus.layouts, corpus.split, train.config, train.worker, train.curve; "
            f"print([name for name in {HEAVY} if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=runs.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
