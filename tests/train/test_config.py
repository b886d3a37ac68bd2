import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import knobs, runs
from models.errors import UserError
from train.config import PROJECTIONS, TrainConfig, load_recipe, recipe_names

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


REFERENCES = {                      # what references.md says of each, as this program's settings
    "answer-gemma-3-1b": dict(
        base="google/gemma-3-1b-it", load_4bit=True, rank=16, alpha=32, dropout=0.05, lr=2e-4, epochs=1.0, batch=4,
        accumulate=4, optimizer="paged_adamw_8bit", weight_decay=0.01, min_chars=10, max_words=500,
        targets=("q_proj", "k_proj", "v_proj", "o_proj"), eval_share=0.15, test_share=0.15),
    "summarise-gemma-2b": dict(
        base="google/gemma-2b-it", load_4bit=True, rank=16, alpha=32, dropout=0.05, lr=2e-4, epochs=1.0, batch=1,
        accumulate=16, max_len=1024, optimizer="paged_adamw_8bit", targets=PROJECTIONS),
    "answer-then-chat-gemma-2-2b": dict(
        base="google/gemma-2-2b-it", load_4bit=True, rank=16, alpha=32, lr=2e-4, epochs=1.0, batch=1, accumulate=2,
        start="adapter", targets=PROJECTIONS),
    "classify-gemma-2-2b": dict(base="google/gemma-2-2b-it", load_4bit=True, best_by="macro_f1", metric_rows=100),
    "chat-medgemma-4b": dict(base="google/medgemma-4b-it", load_8bit=True)}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_recipe_for_gemma_has_the_references_figures_and_one_for_the_embedded_model_beside_it(name: str):
    config = knobs.from_json(TrainConfig, load_recipe(name))
    assert {key: getattr(config, key) for key in REFERENCES[name]} == REFERENCES[name]
    assert config.precision == "auto"
    own = next(one for one in recipe_names() if name.startswith(f"{one}-{config.base.split('/')[1].split('-')[0]}"))
    embedded = knobs.from_json(TrainConfig, load_recipe(own))
    assert (embedded.base, embedded.best_by) == ("demo", config.best_by)
    assert [one.name for one in embedded.stage_configs()] == [one.name for one in config.stage_configs()]


def test_the_recipe_after_the_reference_evaluates_about_every_200_steps():
    one, _ = knobs.from_json(TrainConfig, load_recipe("answer-then-chat-gemma-2-2b")).stage_configs()
    learned = round(one.limit_rows * (1 - one.eval_share - one.test_share))
    assert one.steps(learned) == 1050 and sorted(one.eval_steps(learned)) == [210, 420, 630, 840, 1050]


def test_the_stages_of_the_two_stage_recipe():
    for name in ("answer-then-chat", "answer-then-chat-gemma-2-2b"):
        one, two = knobs.from_json(TrainConfig, load_recipe(name)).stage_configs()
        assert (one.name, one.best_by, two.name, two.best_by) == ("pubmedqa", "accuracy", "conversations", "loss")


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
