"""The user's wishes over a recipe: files of stages, columns, settings, and starting again where a run lies."""

import json
import os

import pytest

from models import knobs, runs
from models.errors import UserError
from train.config import TrainConfig
from ui.actions import train
from ui.actions.train import Wishes, train_config


@pytest.fixture
def files(tmp_path):
    names = {}
    for name in ("a", "b", "c"):
        names[name] = tmp_path / f"{name}.jsonl"
        names[name].write_text('{"question": "Why is that?", "answer": "Because it is so."}\n' * 2)
    return names


@pytest.fixture
def staged(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('lr = 1e-3\n[[stages]]\nname = "one"\nlr = 5e-4\n[[stages]]\nname = "two"\nepochs = 2\n')
    return str(recipe)


def test_files_and_settings_of_stages(files, staged):
    config = train_config(staged, Wishes(
        data=[f"one={files['a']}", f"two={files['b']}", str(files["c"]), f"one={files['b']}"],
        evaluation=[str(files["c"])], assignments=["rank=4", "two.rank=2", "one.columns=question=Frage"]))
    one, two = config.stage_configs()
    assert [os.path.basename(path) for path in (*one.data, *two.data)] == ["a.jsonl", "b.jsonl", "b.jsonl"]
    assert [os.path.basename(path) for path in (*one.eval, *two.eval)] == ["c.jsonl", "c.jsonl"]
    assert (one.rank, two.rank, one.lr, two.lr, one.columns) == (4, 2, 5e-4, 1e-3, ("question=Frage",))
    assert knobs.from_json(TrainConfig, json.loads(json.dumps(knobs.to_json(config)))) == config


def test_what_is_said_for_all_wins_over_the_recipe_of_a_stage(files, staged):
    config = train_config(staged, Wishes(data=[str(files["a"])], assignments=["lr=0.1", "epochs=9"],
                                         columns=["answer=Antwort"], layout="question"))
    assert {(one.lr, one.epochs, one.columns, one.layout) for one in config.stage_configs()} == {
        (0.1, 9.0, ("answer=Antwort",), "question")}


def test_a_file_with_an_equals_sign_and_hub_ids_are_files(tmp_path, files, staged):
    odd = files["a"].rename(tmp_path / "one=two.jsonl")
    [config] = train_config("answer", Wishes(data=[str(odd), "hf:owner/name", str(tmp_path)])).stage_configs()
    assert config.data == (str(odd), "hf:owner/name", str(tmp_path))
    assert train_config(staged, Wishes(data=["one=hf:owner/name", str(odd)])).stage_configs()[0].data == (
        "hf:owner/name",)


def promise_in(folder, config, seconds):
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
    runs.write_json(folder / runs.ESTIMATE, {"seconds": seconds})


def test_a_run_gets_the_newest_promise_made_for_it(galen_home, files, tmp_path, monkeypatch):
    monkeypatch.setitem(train.MODULES, "run", "models.errors")       # ends at once: no training here
    config = train_config("answer", Wishes(data=[str(files["a"])]))
    other = train_config("answer", Wishes(data=[str(files["a"])], assignments=["rank=3"]))

    def promised(name):
        folder, process = train.start(config, str(tmp_path / name))
        process.wait(60)
        return runs.read_json(folder / runs.ESTIMATE)["seconds"] if (folder / runs.ESTIMATE).is_file() else None

    promise_in(galen_home / "runs" / "other", other, 1)
    promise_in(galen_home / "runs" / "strange", config, 1)
    runs.write_json(galen_home / "runs" / "strange" / runs.CONFIG, {**knobs.to_json(config), "no_such_knob": 1})
    assert promised("none") is None
    promise_in(galen_home / "runs" / "old", config, 2)
    promise_in(galen_home / "runs" / "new", config, 3)
    os.utime(galen_home / "runs" / "old" / runs.ESTIMATE, (1, 1))
    assert promised("first") == 3
    os.utime(files["a"], (2e9, 2e9))                                # the data changed after it
    assert promised("second") is None


def test_resume_starts_the_worker_in_the_same_folder(galen_home, files, monkeypatch):
    monkeypatch.setitem(train.MODULES, "run", "models.errors")
    folder = galen_home / "runs" / "mine"
    promise_in(folder, train_config("answer", Wishes(data=[str(files["a"])])), 2)
    (folder / runs.STOP).touch()
    (folder / runs.EVENTS).write_text('{"t": 1, "kind": "stopped"}\n')
    runs.write_json(folder / runs.RESULT, {"is_stopped": True})
    found, process, seen = train.resume("mine")
    process.wait(60)
    assert found == folder and seen == 28 and not (folder / runs.STOP).exists()
    assert runs.read_json(folder / runs.RESULT) == {"is_stopped": True}     # until the worker has another
    assert (folder / runs.LOG).is_file()            # where what it prints goes

    runs.write_json(folder / runs.RESULT, {"is_stopped": False})
    (folder / runs.CHECKPOINTS).mkdir()
    train.resume("mine")[1].wait(60)                                # killed before it had cleared up
    (folder / runs.CHECKPOINTS).rmdir()
    with pytest.raises(UserError, match="is finished; its adapter is in"):
        train.resume("mine")
    runs.write_json(folder / runs.PID, {"pid": os.getpid(), "started": 1})
    with pytest.raises(UserError, match="is still running"):
        train.resume(str(folder))


def test_a_model_is_no_run_folder(tmp_path):
    runs.write_json(tmp_path / runs.CONFIG, {"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
    with pytest.raises(UserError, match="is no run folder; give the one that the training named"):
        train.resume(str(tmp_path))
