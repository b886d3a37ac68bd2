from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig

from convert.config import TYPES
from convert.imatrix import importance, uses_importance, write_imatrix
from convert.model import MergedModel
from convert.stream import write_all
from models.errors import UserError
from runtime.quantize import blocks
from runtime.reference import ActivationSums, Reference
from tests.convert.tiny import fill, random_model

ROWS = [list(range(6, 86)), list(range(90, 130))]


def read(path: Path) -> tuple[dict[str, object], dict[str, tuple[np.ndarray, float]]]:
    """(keys, {tensor: (sums, count)}) of an importance matrix, paired as common/imatrix-loader.cpp does."""
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert all(tensor.tensor_type == gguf.GGMLQuantizationType.F32 for tensor in reader.tensors)
    names = {name.removesuffix(".in_sum2") for name in tensors if name.endswith(".in_sum2")}
    assert set(tensors) == {f"{name}.{kind}" for name in names for kind in ("in_sum2", "counts")}
    return keys, {name: (np.array(tensors[f"{name}.in_sum2"].data), float(tensors[f"{name}.counts"].data[0]))
                  for name in names}


@pytest.fixture(scope="module")
def sums(gemma3: Path) -> ActivationSums:
    return Reference(gemma3, threads=1).activation_sums(ROWS)


def test_the_file_has_the_keys_and_tensors_of_llama_cpps_tools(tmp_path: Path, gemma3: Path, sums: ActivationSums):
    model, path = MergedModel(gemma3, [], "x"), tmp_path / "x.imatrix.gguf"
    write_imatrix(path, sums, model, "heldout.jsonl")
    keys, found = read(path)
    assert keys == {"general.type": "imatrix", "imatrix.datasets": ["heldout.jsonl"], "imatrix.chunk_count": 1,
                    "imatrix.chunk_size": 512}
    matrices = {t.name: t for t in model.plan.tensors if len(t.shape) == 2 and t.name.startswith("blk.")}
    assert set(found) == set(matrices) and len(found) == 21
    for name, (total, count) in found.items():
        assert count == 120 and total.shape == (matrices[name].shape[1],)
        assert np.allclose(total, sums.in_sum2[matrices[name].source], rtol=1e-6)
    again = tmp_path / "again.gguf"
    write_imatrix(again, sums, model, "heldout.jsonl")
    assert again.read_bytes() == path.read_bytes()


def test_what_is_used_is_what_the_file_says(tmp_path: Path, gemma3: Path, sums: ActivationSums):
    """llama-quantize divides float32 sums by counts: our values are those to the bit."""
    model = MergedModel(gemma3, [], "x")
    write_imatrix(tmp_path / "x.gguf", sums, model, "x")
    found = importance(sums, model)
    for name, (total, count) in read(tmp_path / "x.gguf")[1].items():
        assert found[name].dtype == np.float32 and np.array_equal(found[name], total / np.float32(count))


def test_with_an_adapter_the_matrices_are_those_of_the_base(gemma3: Path, adapter: Path, sums: ActivationSums):
    tuned = Reference(gemma3, adapter, threads=1).activation_sums(ROWS)
    found, plain = (importance(one, MergedModel(gemma3, [], "x")) for one in (tuned, sums))
    assert set(found) == set(plain) and not np.allclose(found["blk.2.ffn_down.weight"], plain["blk.2.ffn_down.weight"])


def test_columns_of_permuted_matrices_are_where_they_were(tmp_path: Path, tokenizer_folder: Path):
    """Llama's queries and keys are permuted by rows on their way into the GGUF; their inputs are not."""
    config = LlamaConfig(vocab_size=8192, hidden_size=64, intermediate_size=96, num_hidden_layers=1,
                         num_attention_heads=4, num_key_value_heads=2, bos_token_id=2, eos_token_id=1)
    random_model(config).save_pretrained(tmp_path)
    for path in tokenizer_folder.glob("tokenizer*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    reference, seen = Reference(tmp_path, threads=1), []
    reference._model.model.layers[0].self_attn.q_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        found = importance(reference.activation_sums(ROWS[:1]), MergedModel(tmp_path, [], "x"))
    wanted = seen[0].square().mean((0, 1)).numpy()
    assert np.allclose(found["blk.0.attn_q.weight"], wanted, rtol=1e-5)
    assert np.allclose(found["blk.0.attn_k.weight"], wanted, rtol=1e-5) and "output.weight" not in found


def test_columns_that_no_text_used_do_not_erase_weights(gemma3: Path):
    """llama.cpp writes zeros for a block of columns that all count for nothing."""
    sums, width = ActivationSums(), 512
    used = np.r_[np.zeros(256), np.ones(256)]
    sums.in_sum2["w"], sums.tokens["w"] = used.astype(np.float64), 1
    tensor = SimpleNamespace(name="blk.0.attn_q.weight", shape=(4, width))
    model = SimpleNamespace(plan=SimpleNamespace(tensors=[tensor]), file_name=lambda _: "w")
    values = np.random.default_rng(1).normal(size=(4, width)).astype(np.float32)

    def error(weights: np.ndarray) -> float:
        made = gguf.quants.dequantize(blocks(values, "Q4_K", weights).reshape(4, -1), gguf.GGMLQuantizationType.Q4_K)
        return float(np.abs(made - values)[:, :256].max())

    assert error(used.astype(np.float32)) > 1 and error(importance(sums, model)[tensor.name]) < 0.4


def test_rows_can_be_left_out_of_the_sums(gemma3: Path):
    reference = Reference(gemma3, threads=1)
    for is_layerwise in (False, True):
        part = ActivationSums(skipped_rows=1)
        list(Reference(gemma3, threads=1, is_layerwise=is_layerwise).states(ROWS, part))
        alone = reference.activation_sums(ROWS[1:])
        assert part.tokens == alone.tokens
        assert all(np.allclose(part.in_sum2[name], alone.in_sum2[name], rtol=1e-6) for name in alone.in_sum2)


def test_it_changes_the_k_and_iq_types_only(tmp_path: Path, gemma3: Path, sums: ActivationSums):
    assert [name for name in TYPES if uses_importance(name)] == [
        "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "IQ4_XS", "IQ4_NL", "Q3_K_M", "Q2_K"]
    model, kinds = MergedModel(gemma3, [], "x"), ("Q4_0", "IQ4_NL")
    matrix = {kind: importance(sums, model) for kind in kinds if uses_importance(kind)}
    for name, used in (("plain", {}), ("matrix", matrix)):
        (tmp_path / name).mkdir()
        write_all(model, {kind: tmp_path / name / kind for kind in kinds}, used, threads=1)
    same = {kind: (tmp_path / "plain" / kind).read_bytes() == (tmp_path / "matrix" / kind).read_bytes()
            for kind in kinds}
    assert same == {"Q4_0": True, "IQ4_NL": False}


def test_a_full_disk_leaves_no_file(tmp_path: Path, small_disk: Path, gemma3: Path, sums: ActivationSums):
    fill(small_disk)
    with pytest.raises(UserError, match="The disk is full"):
        write_imatrix(small_disk / "x.gguf", sums, MergedModel(gemma3, [], "x"), "x")
    assert {path.name for path in small_disk.iterdir()} == {"filler"}
