"""What a form shows of a config is what it reads back, and a wrong value gives one sentence."""

import dataclasses
import random

import gradio as gr
import pytest

from convert.config import ExportConfig
from evaluation.config import EvaluateConfig
from models import knobs
from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from train.config import TrainConfig
from ui.form import Form
from ui.settings import Settings

CONFIGS = (TrainConfig, EvaluateConfig, ExportConfig, LoadConfig, SampleConfig, Settings)
WORDS = ("", "a", "two words", "question=Frage, zwei", "Ünï <b>", "x=1")


def form_of(cls):
    form = Form(cls)
    with gr.Blocks():
        form.add(*form.rest())
    return form


def drawn(field, draw):
    """Some value that the field may have."""
    kind, choices = knobs.kind(field), field.metadata.get("choices")
    low, high = field.metadata.get("min", -1000), field.metadata.get("max", 1000)
    if kind is bool:
        return draw.random() < 0.5
    if kind is tuple:
        pool = choices or [word for word in WORDS if word]
        return tuple(draw.sample(list(pool), draw.randint(0, len(pool))))
    if choices:
        return draw.choice(choices)
    if kind is str:
        return draw.choice(WORDS)
    if kind is int:
        return draw.randint(int(low + 0.999), int(high))
    return draw.choice((low, high, draw.uniform(low, high)))


def held(form, config):
    """What the components would hold after show(config), in their order."""
    updates = form.show(config)
    return [updates[component]["value"] for component in form.inputs]


@pytest.mark.parametrize("cls", CONFIGS, ids=lambda cls: cls.__name__)
def test_what_is_shown_is_read_back(cls):
    form, draw = form_of(cls), random.Random(cls.__name__)
    made = 0
    for _ in range(400):
        values = {field.name: drawn(field, draw) for field in dataclasses.fields(cls)
                  if knobs.kind(field) is not dict}
        try:
            config = cls(**values)
        except UserError:                           # some values do not go with others
            try:
                needed = {f.name: values[f.name] for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING}
                one = draw.choice(sorted(values))
                config = cls(**{**needed, one: values[one]})
            except UserError:
                continue
        made += 1
        given = held(form, config)
        assert form.read(given, config) == config
        assert form.values(given) == {name: getattr(config, name) for name in values}
    assert made > 50


def test_tables_are_left_as_they_are():
    form = form_of(TrainConfig)
    assert "stages" not in form.rest() and len(form.inputs) == len(dataclasses.fields(TrainConfig)) - 1
    staged = TrainConfig(stages=({"name": "one", "rank": 4},))
    assert form.read(held(form, TrainConfig(rank=8)), staged) == TrainConfig(rank=8, stages=staged.stages)


@pytest.mark.parametrize("name, given, said", [
    ("rank", "0", "LoRA rank is 0; use 1 to 256."),
    ("rank", "8.5", "LoRA rank is '8.5'; use a whole number."),
    ("rank", "", "LoRA rank is empty; use 1 to 256."),
    ("rank", None, "LoRA rank is empty; use 1 to 256."),
    ("lr", "0,001", "Learning rate is '0,001'; use a number."),
    ("lr", "nan", "Learning rate is nan; use 1e-07 to 0.1."),
    ("max_len", "7", "Longest sample is 7; use 8 to 131"),
    ("precision", "float16", "Arithmetic is 'float16'; use one of auto, bfloat16, float32."),
    ("precision", None, "Arithmetic is None; use text."),
    ("targets", ["lm_head"], "Projections that get LoRA is 'lm_head'; use one of q_proj"),
    ("targets", [], "Projections that get LoRA is empty; name some of"),
    ("columns", "question", "Columns by hand has 'question'; write field=column"),
    ("use_dora", "yes", "DoRA: direction and magnitude apart is 'yes'; use on or off."),
])
def test_a_wrong_value_gives_one_sentence(name, given, said):
    form = form_of(TrainConfig)
    values = dict(zip(form.rest() or [f.name for f in dataclasses.fields(TrainConfig) if f.name != "stages"],
                      held(form, TrainConfig()), strict=True))
    values[name] = given
    with pytest.raises(UserError) as caught:
        form.read(list(values.values()), TrainConfig())
    assert str(caught.value).startswith(said)


def test_components_say_what_the_class_says():
    form = Form(TrainConfig)
    with gr.Blocks():
        form.add("max_len", "precision", "targets", "use_dora", "columns")
    length, precision, targets, dora, columns = form.inputs
    assert (length.label, length.value) == ("Longest sample", "1024")
    assert length.info.startswith("8 to 131") and length.info.endswith(" tokens")
    assert [value for _, value in precision.choices] == ["auto", "bfloat16", "float32"]
    assert isinstance(targets, gr.CheckboxGroup) and isinstance(dora, gr.Checkbox)
    assert columns.lines == 2 and columns.info == "one a line"
    assert "max_len" not in form.rest() and "epochs" in form.rest() and "epochs" not in form.rest(["epochs"])
