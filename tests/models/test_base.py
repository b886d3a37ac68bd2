"""A base model folder is whole, or the sentence says what it lacks."""

import json

import pytest

from models import base
from models.errors import UserError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gemma3_text"}')
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


def test_a_whole_folder_passes(folder):
    base.check_base(folder)
    assert base.family(folder) == "gemma3_text" and base.weight_files(folder) == [folder / "model.safetensors"]


@pytest.mark.parametrize(("missing", "words"), [
    ("config.json", "no config.json"), ("model.safetensors", "no weights as .safetensors"),
    ("tokenizer.json", "no tokenizer.model or tokenizer.json")])
def test_what_is_missing_is_named(folder, missing, words):
    (folder / missing).unlink()
    with pytest.raises(UserError, match=words):
        base.check_base(folder)


def test_a_pickle_is_not_opened(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="pytorch_model.bin, which can run code"):
        base.check_base(folder)


def test_a_missing_folder_and_a_missing_shard(folder, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        base.check_base(tmp_path / "none")
    index = {"weight_map": {"a": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="lacks model-1.safetensors"):
        base.check_base(folder)


def test_a_whole_file_beside_shards_is_two_models(folder):
    (folder / "model-1.safetensors").write_bytes(b"weights")
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    with pytest.raises(UserError, match="both model.safetensors and an index of other files, model-1.safetensors"):
        base.check_base(folder)
    index.write_text('{"weight_map": {"a": "model-1.safetensors", "b": "model.safetensors"}}')
    assert len(base.weight_files(folder)) == 2


def test_weights_that_are_no_file_are_named(folder, tmp_path):
    weights = folder / "model.safetensors"
    weights.unlink()
    weights.mkdir()
    with pytest.raises(UserError, match="model.safetensors is a folder; copy or download"):
        base.check_base(folder)
    weights.rmdir()
    weights.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="model.safetensors is a link to a file that is not there"):
        base.check_base(folder)


@pytest.mark.parametrize("index", ["[]", "3", "{}", '{"weight_map": []}', '{"weight_map": {"a": 5, "b": "c"}}'])
def test_an_index_that_is_none_is_named(folder, index):
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UserError, match="index.json does not say which file holds which tensor"):
        base.check_base(folder)


@pytest.mark.parametrize(("config", "words"), [
    ("[]", "does not describe a model"), ("null", "does not describe a model"), ('{"model_type": 3}', "no model_type")])
def test_a_config_that_is_none_is_named(folder, config, words):
    (folder / "config.json").write_text(config)
    with pytest.raises(UserError, match=words):
        base.check_base(folder)


def test_no_model_type(folder):
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="names no model_type"):
        base.family(folder)


def test_another_weight_byte_is_another_fingerprint(folder):
    before = base.fingerprint(folder)
    assert before == base.fingerprint(folder)
    (folder / "model.safetensors").write_bytes(b"weightz")
    assert base.fingerprint(folder) != before
