"""Runs whose folder was moved by hand name their files again."""

import shutil
from pathlib import Path

import pytest

from models import runs
from ui.actions import moved


def a_run(home: Path, program: Path) -> Path:
    folder = home / "runs" / "one"
    (folder / "data").mkdir(parents=True)
    (folder / "adapter").mkdir()
    (folder / "checkpoints").mkdir()
    (folder / "data" / "rows.csv").touch()
    (program / "models" / "demo").mkdir(parents=True)
    config = {"base": str(program / "models" / "demo"), "data": [str(folder / "data" / "rows.csv"), "/etc/hostname"],
              "eval": [str(folder / "data" / "gone.csv")], "rank": 16}
    runs.write_json(folder / runs.CONFIG, config)
    runs.write_json(folder / runs.STARTED, {"config": config, "fingerprints": {config["data"][0]: "7f3a"}})
    runs.write_json(folder / "adapter" / "adapter_config.json", {"base_model_name_or_path": config["base"]})
    runs.write_json(folder / "checkpoints" / "config.json", config)
    return folder


def test_a_moved_folder_is_followed(tmp_path: Path):
    """The usual place: the user's folder inside the program's."""
    program = tmp_path / "galen"
    home = program / "models" / "files"
    a_run(home, program)
    moved.settle(home, program)
    before = (home / "runs/one/config.json").read_bytes()
    moved.settle(home, program)
    assert (home / "runs/one/config.json").read_bytes() == before
    new = program.rename(tmp_path / "galen ünï")
    home = new / "models" / "files"
    moved.settle(home, new)
    folder = home / "runs" / "one"
    config = runs.read_json(folder / runs.CONFIG)
    assert config["base"] == str(new / "models" / "demo")
    assert config["data"] == [str(folder / "data" / "rows.csv"), "/etc/hostname"] and config["rank"] == 16
    assert config["eval"] == [str(tmp_path / "galen/models/files/runs/one/data/gone.csv")]     # it is nowhere
    assert runs.read_json(folder / runs.STARTED) == {           # a resumed run is held against it
        "config": config, "fingerprints": {config["data"][0]: "7f3a"}}
    assert runs.read_json(folder / "adapter/adapter_config.json")["base_model_name_or_path"] == config["base"]
    assert runs.read_json(folder / "checkpoints/config.json")["base"] == str(tmp_path / "galen/models/demo")


def test_a_copy_leaves_what_still_is_there(tmp_path: Path):
    program = tmp_path / "galen"
    home = program / "models" / "files"
    moved.settle(home, program)
    a_run(home, program)
    shutil.copytree(program, tmp_path / "copy")
    copied = tmp_path / "copy" / "models" / "files"
    before = (copied / "runs/one/config.json").read_bytes()
    moved.settle(copied, tmp_path / "copy")
    assert (copied / "runs/one/config.json").read_bytes() == before
    (copied / "runs/one/config.json").write_text("{")           # damaged: said by whoever needs it
    moved.settle(home, program)


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"home": 3}', '{"home": ["a"], "program": null}', "nonsense"])
def test_a_damaged_note_of_the_last_place_costs_that_only(tmp_path: Path, text: str):
    home = tmp_path / "home"
    (home / "cache").mkdir(parents=True)
    (home / "cache" / moved.PLACE).write_text(text)
    moved.settle(home, tmp_path)
    assert runs.read_json(home / "cache" / moved.PLACE) == {"home": str(home), "program": str(tmp_path)}


def test_settings_nested_without_end_are_left_alone(tmp_path: Path):
    home, config = tmp_path / "home", tmp_path / "home" / "runs" / "one" / runs.CONFIG
    config.parent.mkdir(parents=True)
    config.write_text("[" * 900 + "]" * 900)
    (home / "cache").mkdir()
    runs.write_json(home / "cache" / moved.PLACE, {"home": "/before", "program": str(tmp_path)})
    moved.settle(home, tmp_path)
    assert config.read_text() == "[" * 900 + "]" * 900
