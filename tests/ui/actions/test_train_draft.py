"""A draft is its recipe with the person's choices over it, whole again after it was written down."""

import json

import pytest

from models import knobs
from models.errors import UserError
from train.config import TrainConfig, recipe_names
from ui.actions import train_draft
from ui.actions.train_draft import CHOSEN_ELSEWHERE, Draft

STAGED = "answer-then-chat"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("question,answer\nWhy is that so?,Because it is so.\n", encoding="utf-8")
    return str(path)


def file(path, role="data", stage=""):
    return {"file": path, "role": role, "stage": stage}


def form_values(config):
    """What the page's form holds of a config."""
    return {name: getattr(config, name) for name in knobs.to_json(config) if name not in CHOSEN_ELSEWHERE}


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_form_that_nobody_touched_changes_no_recipe(recipe, tmp_path):
    draft = Draft(recipe=recipe)
    assert draft.with_settings(form_values(draft.as_set()), "") == draft
    train_draft.keep(draft, tmp_path)
    assert train_draft.of(tmp_path) == draft


def test_choices_are_in_the_config(rows, tmp_path):
    files = (file(rows), file(rows, "eval"), file(rows, "guard"))
    draft = Draft(recipe="answer", files=files, layout="question/answer")
    draft = draft.mapped("question", "question").mapped("answer", "Antwort").mapped("answer", "answer")
    values = {**form_values(draft.as_set()), "rank": 4, "targets": ("q_proj", "v_proj"), "use_dora": True, "lr": 1e-4,
              "mask": ("telephone",)}
    draft = draft.with_settings(values, "")
    assert set(draft.settings) == {"rank=4", "targets=q_proj,v_proj", "use_dora=True", "lr=0.0001", "mask=telephone"}
    train_draft.keep(draft, tmp_path)
    config = train_draft.of(tmp_path).config()
    assert (config.rank, config.targets, config.use_dora, config.lr) == (4, ("q_proj", "v_proj"), True, 1e-4)
    assert (config.data, config.eval, config.guard) == ((rows,), (rows,), (rows,))
    assert config.columns == ("question=question", "answer=answer") and config.layout == "question/answer"
    assert form_values(draft.as_set()) == {**form_values(config)}


def test_stages_have_files_and_settings_of_their_own(rows):
    draft = Draft(recipe=STAGED, files=(file(rows, stage="pubmedqa"),))
    with pytest.raises(UserError, match="The stage conversations has no file to learn from; choose one for it"):
        draft.config()
    draft = Draft(recipe=STAGED, files=(file(rows, stage="pubmedqa"), file(rows, stage="conversations")))
    draft = draft.with_settings({"rank": 8}, " pubmedqa.lr=5e-4 \n\n")
    one, two = draft.config().stage_configs()
    assert (one.lr, two.lr, one.rank, two.rank) == (5e-4, 1e-3, 8, 8) and draft.of_stages == ("pubmedqa.lr=5e-4",)
    assert Draft(recipe=STAGED, files=(file(rows),)).config().stage_configs()[1].data == (rows,)


@pytest.mark.parametrize("values, lines, said", [
    ({"rank": 0}, "", "LoRA rank is 0; use 1 to 256."),
    ({"load_4bit": True, "load_8bit": True}, "", "can be in 4 bits or in 8, not both"),
    ({}, "lr=5e-4", "Settings of one stage has 'lr=5e-4'; write STAGE.setting=value"),
    ({}, "other.lr=5e-4", "where STAGE is one of pubmedqa, conversations"),
    ({}, "pubmedqa.lr=fast", "Learning rate is 'fast'; use a number."),
])
def test_what_does_not_fit_is_said(values, lines, said):
    with pytest.raises(UserError, match=said):
        Draft(recipe=STAGED).with_settings(values, lines)


def test_a_draft_without_rows_says_what_to_do():
    with pytest.raises(UserError, match="There are no rows to learn from yet; give a file in step 1."):
        Draft().config()


def test_a_run_of_the_command_line_becomes_a_draft(rows):
    config = train_draft.train.train_config("answer", train_draft.Wishes(
        data=[rows], columns=["question=question"], assignments=["rank=3"]))
    assert train_draft.of_config(config).config() == config
    staged = train_draft.train.train_config(STAGED, train_draft.Wishes(data=[rows]))
    assert [one.data for one in train_draft.of_config(staged).config().stage_configs()] == [(rows,), (rows,)]
    assert train_draft.of_config(TrainConfig(recipe="mine", data=(rows,), lr=3e-3)).config().lr == 3e-3


def test_every_recipe_has_a_sentence_and_the_embedded_models_come_first():
    found = train_draft.recipes()
    assert sorted(name for name, _ in found) == recipe_names()
    assert all(20 < len(sentence) < 200 and sentence.endswith(".") and "\n" not in sentence for _, sentence in found)
    assert dict(found)["chat"] == ("Conversations (messages, ShareGPT, or a patient's message and its answer) on the "
                                   "embedded model.")
    names = [name for name, _ in found]
    assert names.index("summarise") < names.index("answer-gemma-3-1b")


def test_bases_are_the_embedded_one_the_users_folders_and_the_cache(galen_home, tmp_path, monkeypatch):
    for folder in (galen_home / "mine", tmp_path / "models--google--gemma-3-1b-it" / "snapshots" / "abc"):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").touch()
    (galen_home / "half").mkdir()
    (galen_home / "half" / "config.json").write_text("{}")
    cut = tmp_path / "models--google--gemma-3-4b-it" / "snapshots" / "abc"          # its second part never came
    cut.mkdir(parents=True)
    (cut / "config.json").write_text("{}")
    (cut / "model-00001-of-00002.safetensors").touch()
    (cut / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert train_draft.bases()[1:] == [("mine", str(galen_home / "mine")),
                                       ("Gemma 3 1B (google/gemma-3-1b-it)", "google/gemma-3-1b-it")]


def test_no_file_is_named_among_the_settings_of_a_stage():
    draft = Draft(recipe="answer-then-chat")
    stage = draft.stages()[0]
    assert draft.with_settings({}, f"{stage}.lr=1e-4").of_stages == (f"{stage}.lr=1e-4",)
    for name in ("data", "eval", "guard", "base"):
        with pytest.raises(UserError, match="chosen above"):
            draft.with_settings({}, f"{stage}.{name}=/etc/passwd")
