"""The mmproj beside a model: the right one is found, and none that libmtmd could not bear is let through."""

import os
import shutil
import sys
from dataclasses import replace

import gguf
import numpy as np
import pytest

from models.errors import UserError
from models.header import read_header
from models.projector import projector_for, read_projector
from runtime.config import LoadConfig
from runtime.llama import Model
from runtime.picture import Picture
from runtime.vision import Eyes
from tests.runtime.mutated import mutants
from tests.runtime.seeing import PICTURE_TOKENS, SIDE, export_seeing, make_seeing, picture


@pytest.fixture(scope="module")
def model(tmp_path_factory, demo_base):
    base = make_seeing(tmp_path_factory.mktemp("base"), demo_base)
    return export_seeing(base, tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def whole(model):
    return model.parent / "mmproj-seeing.gguf"


def test_it_says_what_it_makes_of_a_picture(whole):
    found = read_projector(whole)
    assert (found.side, found.tokens, found.width, found.name) == (SIDE, PICTURE_TOKENS, 64, "Seeing")


def test_the_one_beside_a_model_is_its_own(model, whole, tmp_path):
    header = read_header(model)
    assert projector_for(header, "") == whole
    moved = replace(header, path=tmp_path / "model.gguf")
    assert projector_for(moved, "") is None
    (tmp_path / "mmproj-broken.gguf").write_bytes(whole.read_bytes()[:999])
    shutil.copy(whole, tmp_path / "model-mmproj-F16.gguf")
    assert projector_for(moved, "") == tmp_path / "model-mmproj-F16.gguf"
    other = replace(moved, metadata={**header.metadata, "general.name": "Another model"})
    assert projector_for(other, "") is None             # of another model of this width
    assert projector_for(other, str(whole)) == whole    # but whoever names one knows it
    assert projector_for(replace(moved, metadata={**header.metadata, "general.name": "see-ing"}), "")
    wider = replace(moved, metadata={**header.metadata, "gemma3.embedding_length": 128})
    assert projector_for(wider, "") is None
    with pytest.raises(UserError, match="made for a model of 64 columns and model.gguf has 128"):
        projector_for(wider, str(whole))
    with pytest.raises(UserError, match="There is no file"):
        projector_for(header, str(tmp_path / "none.gguf"))


def test_a_model_is_no_projector(model):
    with pytest.raises(UserError, match="is no projector but a gemma3 model"):
        read_projector(model)


def test_a_projector_is_no_model(whole):
    with pytest.raises(UserError, match="mmproj-seeing.gguf is the projector of a model that sees"):
        projector_for(read_header(whole), "")


def rewritten(whole, path, keys=(), tensors=()):
    """A copy with keys {name: (type, value) or None} and tensors {name: array or None} changed."""
    reader = gguf.GGUFReader(whole)
    keys, tensors = dict(keys), dict(tensors)
    writer = gguf.GGUFWriter(path, "clip")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name in keys:
            continue
        item = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], item)
    for name, value in keys.items():
        if value is not None:
            writer.add_key_value(name, value[1], value[0], gguf.GGUFValueType.FLOAT32
                                 if value[0] == gguf.GGUFValueType.ARRAY else None)
    for one in reader.tensors:
        if one.name not in tensors:
            writer.add_tensor(one.name, np.array(one.data))
    for name, value in tensors.items():
        if value is not None:
            writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


U32, I32, F32, TRUE, TEXT, LIST = 4, 5, 6, 7, 8, 9
V = "clip.vision."
WRONG = [
    ({"clip.projector_type": (TEXT, "qwen2vl_merger")}, {}, "a projector of the kind 'qwen2vl_merger'"),
    ({"clip.projector_type": None}, {}, "of the kind 'None'"),
    ({V + "image_size": (I32, 64)}, {}, "image_size is of a wrong type"),
    ({V + "image_size": (U32, 65)}, {}, "65 pixels do not fall into patches of 8"),
    ({V + "image_size": None}, {}, "its image_size is None"),
    ({V + "patch_size": (U32, 0)}, {}, "its patch_size is 0"),
    ({V + "block_count": (U32, 4_000_000_000)}, {}, "says that it has 4,000,000,000 layers"),
    ({V + "attention.head_count": (U32, 5)}, {}, "do not share 5 heads evenly"),
    ({V + "feed_forward_length": (U32, 48)}, {}, "mistakes their matrices"),
    ({V + "projector.scale_factor": (U32, 3)}, {}, "tokens of 3 patches"),
    ({V + "image_size": (U32, 4096), V + "patch_size": (U32, 8)}, {}, "makes 65,536 tokens of a picture"),
    ({V + "attention.layer_norm_epsilon": (F32, float("nan"))}, {}, "layer_norm_epsilon is nan"),
    ({V + "image_mean": (LIST, [0.5, 0.5])}, {}, "image_mean is [0.5, 0.5]"),
    ({V + "image_std": (LIST, [0.0, 0.5, 0.5])}, {}, "image_std is"),
    ({V + "image_std": (F32, 0.5)}, {}, "image_std is 0.5"),
    ({"clip.has_vision_encoder": None}, {}, "does not say that it has a vision encoder"),
    ({"clip.has_audio_encoder": (TRUE, True)}, {}, "its clip.has_audio_encoder is True"),
    ({"clip.use_gelu": (TEXT, "yes")}, {}, "clip.use_gelu is of a wrong type"),
    ({V + "n_wa_pattern": (U32, 3)}, {}, "which no projector of this kind has"),
    ({V + "projection_dim": (U32, 32)}, {}, "projection.weight has the shape [64, 48] and should have [32, 48]"),
    ({}, {"v.blk.1.attn_q.weight": None}, "says that it has 2 layers and holds 38 tensors"),
    ({}, {"v.blk.1.attn_q.weight": None, "v.class_embd": np.zeros(48, np.float32)}, "lacks the tensor v.blk.1.attn_q"),
    ({}, {"v.class_embd": np.zeros(48, np.float32)}, "holds 40 tensors"),
    ({}, {"v.position_embd.weight": np.zeros((64, 48), np.float16)}, "has the type F16, which can not be used there"),
    ({}, {"v.blk.0.ln1.weight": np.zeros(47, np.float32)}, "has the shape [47] and should have [48]"),
    ({}, {"mm.input_projection.weight": np.zeros((64, 48), np.float32)}, "has the shape [48, 64] and should"),
]


@pytest.mark.parametrize("keys, tensors, words", WRONG, ids=[words[:40] for _, _, words in WRONG])
def test_what_would_end_the_process_is_refused_in_words(whole, tmp_path, keys, tensors, words):
    changed = {name: value and (gguf.GGUFValueType(value[0]), value[1]) for name, value in keys.items()}
    with pytest.raises(UserError) as refused:
        read_projector(rewritten(whole, tmp_path / "mmproj.gguf", changed, tensors))
    assert words in str(refused.value) and "mmproj.gguf" in str(refused.value)


def test_the_names_of_the_first_converter_are_understood(whole, tmp_path):
    old = {one.name: np.array(one.data) for one in gguf.GGUFReader(whole).tensors}
    other = {"ffn_up": "ffn_down", "ffn_down": "ffn_up"}
    swapped = {name.replace(part, other[part]): data for name, data in old.items()
               for part in other if part in name}
    assert read_projector(rewritten(whole, tmp_path / "mmproj.gguf", {}, swapped)).tokens == PICTURE_TOKENS


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_mutated_files_are_refused_or_do_no_harm(model, whole, tmp_path):
    config = LoadConfig(threads=1)
    loaded, refused = Model(model, config), 0
    for mutant in mutants([whole.read_bytes()], 1):
        path = tmp_path / "mmproj.gguf"
        path.write_bytes(mutant.data)
        try:
            read_projector(path)
        except UserError:
            refused += 1
            continue
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            status = 1
            try:
                Eyes(path, loaded, config, 1).look(Picture(picture(1), PICTURE_TOKENS)).result()
                status = 0
            except UserError:
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0, mutant.name
    loaded.close()
    assert 200 < refused < 300
