"""GGUF headers: read right, and refused clearly when they are not whole."""

import random
import struct

import gguf
import numpy as np
import pytest

from models.errors import UserError
from models.header import fingerprint, read_header
from models.tensor_types import TENSOR_TYPES

SOUND = {
    "general.name": "Small one", "gemma3.context_length": 2048, "gemma3.block_count": 2, "gemma3.embedding_length": 64,
    "tokenizer.chat_template": "{{ messages }}", "tokenizer.ggml.tokens": ["a", "b", "<turn>", "<0x0A>"],
    "tokenizer.ggml.token_type": [1, 1, 3, 6], "some.flags": [1, 2, 3], "some.other": [1, 2, 3],
}


def write(path, **changed):
    """A small gemma3 GGUF with the keys of SOUND, some changed ("__" stands for a dot)."""
    writer = gguf.GGUFWriter(path, "gemma3")
    for key, value in {**SOUND, **{key.replace("__", "."): value for key, value in changed.items()}}.items():
        add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32, list: writer.add_array}
        add[type(value)](key, value)
    writer.add_tensor("token_embd.weight", np.ones((500, 64), np.float32))
    for k in range(2):
        writer.add_tensor(f"blk.{k}.attn_q.weight", np.zeros((64, 34), np.uint8),
                          raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def small_gguf(tmp_path):
    return write(tmp_path / "small.gguf", tokenizer__ggml__tokens=[f"t{k}" for k in range(600)],
                 tokenizer__ggml__token_type=[1] * 598 + [3, 4])


def test_reads_what_the_library_wrote(small_gguf):
    header = read_header(small_gguf)
    assert (header.architecture, header.name, header.ctx_tokens) == ("gemma3", "Small one", 2048)
    assert header.template == "{{ messages }}" and header.type_name == "F32"
    assert len(header.metadata["tokenizer.ggml.tokens"]) == 600 and header.metadata["some.flags"] == [1, 2, 3]
    assert header.parameters == 500 * 64 + 2 * 64 * 32
    assert header.special_tokens == {598: "t598", 599: "t599"}
    theirs = {t.name: (t.data_offset, t.n_bytes) for t in gguf.GGUFReader(small_gguf).tensors}
    assert {t.name: (t.offset, t.bytes) for t in header.tensors} == theirs


GEMMA = "gemma3__"
ATTENTION = "gemma3__attention__"
VOCABULARY = "tokenizer__ggml__"
WRONG = [
    ({GEMMA + "block_count": 0, "split__count": 2}, "has 0 layers"),
    ({GEMMA + "block_count": 513, "split__count": 2}, "has 513 layers"),
    ({GEMMA + "block_count": 3}, "3 layers and holds tensors of 2"),
    ({GEMMA + "embedding_length": 32}, "embedding_length is 32 and its token_embd.weight has rows of 64"),
    ({GEMMA + "feed_forward_length": 0}, "feed_forward_length is 0"),
    ({GEMMA + "context_length": 2**32 - 1}, "context_length is 4,294,967,295"),
    ({ATTENTION + "head_count": 0}, "attention.head_count is 0"),
    ({ATTENTION + "head_count": [4, 0]}, "attention.head_count is 0"),
    ({ATTENTION + "head_count": 4, ATTENTION + "head_count_kv": 3}, "do not share 3 heads of keys"),
    ({ATTENTION + "key_length": 16, GEMMA + "rope__dimension_count": 18}, "rope.dimension_count is 18"),
    ({ATTENTION + "head_count": 8, GEMMA + "rope__dimension_count": 10}, "rope.dimension_count is 10"),
    ({GEMMA + "rope__dimension_count": 7}, "rope.dimension_count is 7"),
    ({ATTENTION + "sliding_window": 2**31}, "sliding_window is 2,147,483,648"),
    ({ATTENTION + "layer_norm_rms_epsilon": -1.0}, "epsilon is -1.0"),
    ({GEMMA + "rope__freq_base": float("nan")}, "freq_base is nan"),
    ({GEMMA + "rope__scaling__type": "okra"}, "'okra'"),
    ({GEMMA + "expert_count": 4}, "uses 0 of 4 experts"),
    ({GEMMA + "expert_used_count": 2}, "uses 2 of 0 experts"),
    ({GEMMA + "expert_group_count": 3}, "0 experts form 3 groups"),
    ({GEMMA + "expert_count": 4, GEMMA + "expert_used_count": 1, GEMMA + "expert_group_count": 2}, "0 of 2 groups"),
    ({GEMMA + "nextn_predict_layers": 9}, "nextn_predict_layers is 9"),
    ({VOCABULARY + "bos_token_id": 4}, "bos_token_id is 4 and its vocabulary has 4 pieces"),
    ({VOCABULARY + "scores": [0.0] * 3}, "list of scores 3"),
    ({VOCABULARY + "tokens": ["a", "b", "c", "a"]}, "a piece twice"),
    ({VOCABULARY + "tokens": ["a", "b", "c", "a\0b"]}, "a piece twice"),
    ({VOCABULARY + "model": "llama"}, "lacks the byte 0x00"),
    ({"general__alignment": 48}, "alignment is 48"),
]


@pytest.mark.parametrize(("changed", "words"), WRONG)
def test_figures_that_end_the_process_are_refused(tmp_path, changed, words):
    with pytest.raises(UserError, match=f"figures.gguf is damaged: .*{words}"):
        read_header(write(tmp_path / "figures.gguf", **changed))


def test_what_only_looks_wrong_is_taken(tmp_path):
    header = read_header(write(tmp_path / "whole.gguf", **{
        VOCABULARY + "padding_token_id": 2**32 - 1, VOCABULARY + "tokens": ["a", "", "<turn>", ""],
        ATTENTION + "head_count": [4, 4], ATTENTION + "head_count_kv": 2, ATTENTION + "sliding_window": 0,
        GEMMA + "rope__scaling__type": "yarn", "general__file_type": 7}))
    assert header.special_tokens == {2: "<turn>"} and header.metadata["gemma3.attention.head_count"] == [4, 4]


def test_a_part_of_a_model_needs_no_tensors_of_every_layer(tmp_path):
    for changed in ({"general__type": "adapter"}, {"split__count": 2}):
        assert len(read_header(write(tmp_path / "part.gguf", gemma3__block_count=30, **changed)).tensors) == 3


def test_a_key_that_stands_twice_is_refused(small_gguf):
    small_gguf.write_bytes(small_gguf.read_bytes().replace(b"some.other", b"some.flags"))
    with pytest.raises(UserError, match="damaged: it holds the key 'some.flags' twice"):
        read_header(small_gguf)


def moved(path, name, change):
    """Add change to the offset of the tensor called name, which has two dimensions."""
    data = bytearray(path.read_bytes())
    at = data.index(name.encode()) + len(name) + 4 + 16 + 4
    data[at:at + 8] = struct.pack("<Q", (struct.unpack_from("<Q", data, at)[0] + change) % 2**64)
    path.write_bytes(data)


@pytest.mark.parametrize(("change", "words"), [(1, "is no multiple of 32"), (-32, "lie on each other"),
                                               (1 << 40, "cut short"), (-(1 << 20), "cut short")])
def test_tensors_out_of_place_are_refused(small_gguf, change, words):
    moved(small_gguf, "blk.1.attn_q.weight", change)
    with pytest.raises(UserError, match=words):
        read_header(small_gguf)


def test_every_whole_file_here_is_taken(demo_gguf, shared_data):
    assert set(read_header(demo_gguf).special_tokens.values()) >= {"<bos>", "<start_of_turn>", "<end_of_turn>"}
    for path in sorted((shared_data / "models").rglob("*.gguf")):
        assert read_header(path).special_tokens, path


def test_every_truncation_is_refused(small_gguf):
    whole = small_gguf.read_bytes()
    end = max(t.offset + t.bytes for t in read_header(small_gguf).tensors)
    for length in [0, 3, 23, 24, 100, 700, end // 2, end - 1]:
        small_gguf.write_bytes(whole[:length])
        with pytest.raises(UserError, match="cut short|only|no GGUF"):
            read_header(small_gguf)


def test_mutations_end_in_a_header_or_a_sentence(small_gguf):
    whole, rng = small_gguf.read_bytes(), random.Random(1)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(8200)
            data[at:at + 8] = struct.pack("<Q", rng.choice([0, 1, 2**63, 2**32, rng.getrandbits(64)]))
        small_gguf.write_bytes(data)
        try:
            assert read_header(small_gguf).architecture
        except UserError as error:
            assert small_gguf.name in str(error)


@pytest.mark.parametrize(("content", "words"), [(b"", "only 0 bytes"), (b"hello, this is a text file", "no GGUF"),
                                                (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version 9")])
def test_other_files_are_refused(tmp_path, content, words):
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_header(tmp_path / "x.gguf")


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(UserError, match="is a folder"):
        read_header(tmp_path)


def test_fingerprint_tells_files_apart(small_gguf):
    before = fingerprint(small_gguf)
    data = bytearray(small_gguf.read_bytes())
    data[-40] ^= 1
    small_gguf.write_bytes(data)
    assert fingerprint(small_gguf) != before and len(before) == 16


def test_the_tensor_types_are_those_of_the_gguf_package():
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    assert {kind.value: (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType} == TENSOR_TYPES
