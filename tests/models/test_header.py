"""GGUF headers: read right, and refused clearly when they are not whole."""

import json
import random
import struct

import gguf
import numpy as np
import pytest

from models import known
from models.errors import UserError
from models.facts import from_json, to_json
from models.header import fingerprint, read_header
from models.reader import Memory
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


WILD = ("", "\0", "a\0b", "\x1b[2J", "\u202eabc", "\n\r", "A" * 3000, "general.architecture", "clip", "adapter")
FORMS = {0: "B", 1: "b", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}


def text(said):
    return struct.pack("<Q", len(said.encode())) + said.encode()


def packed(rng, kind):
    """A value of GGUF's type with that number, of the odd ones."""
    if kind == 8:
        return text(rng.choice(WILD))
    if kind == 9:
        inside, count = rng.choice([*FORMS, 8, 9, 13]), rng.choice([0, 1, 3, 20, 513, 2**22, 2**64 - 1])
        some = range(min(count, 520))
        return struct.pack("<IQ", inside, count) + b"".join(
            text("w") if inside == 8 else packed(rng, inside) if inside in FORMS else bytes(12) for _ in some)
    form = FORMS[kind]
    if form in "fd":
        return struct.pack("<" + form, rng.choice([0.0, -1.0, float("nan"), float("inf")]))
    bits = 8 * struct.calcsize("<" + form)
    return struct.pack("<" + form, rng.choice([0, 1, 2, 7, 2**(bits - 1) - 1] + [-1, -2**(bits - 1)] * (form in "biq")))


def odd_header(rng):
    """A file in which up to three keys have another type or value, stand twice, are lacking or were never heard of."""
    keys = {name: (8, text(said)) for name, said in {
        "general.architecture": "gemma3", "general.name": "A", "general.license": "B", "general.type": "model"}.items()}
    keys |= {name: (4, struct.pack("<I", number)) for name, number in {
        "general.alignment": 32, "gemma3.context_length": 2048, "gemma3.block_count": 1, "split.count": 1,
        "gemma3.pooling_type": 1, "clip.vision.image_size": 896}.items()}
    keys["tokenizer.ggml.tokens"] = 9, struct.pack("<IQ", 8, 2) + text("a") + text("b")
    for _ in range(rng.randint(0, 3)):
        name, kind = rng.choice([*keys, *WILD, "general.basename", "gemma3.expert_count"]), rng.choice([*FORMS, 8, 9])
        keys[name] = kind, packed(rng, kind)
    listed = [text(name) + struct.pack("<I", kind) + value for name, (kind, value) in keys.items()]
    listed = rng.sample(listed, len(listed) - rng.randrange(2)) + rng.sample(listed, rng.random() < 0.1)
    odd = rng.random() < 0.3
    tensors = [text(rng.choice(WILD) if odd else name) + struct.pack(
        "<IQQIQ", 2, 32, rng.choice([2**63, 0, 1]) if odd else 1, rng.choice([0, 8, 99]) if odd else 0, place)
        for name, place in (("blk.0.attn_q.weight", 0), ("token_embd.weight", 128))]
    counts = [rng.choice([len(one)] * 20 + [2**16, 2**64 - 1]) for one in (tensors, listed)]
    return b"GGUF" + struct.pack("<IQQ", 3, *counts) + b"".join(listed + tensors) + bytes(400)


def test_odd_headers_end_in_facts_that_can_be_kept_and_shown_or_in_a_sentence(tmp_path):
    rng, path, memory, taken = random.Random(5), tmp_path / "odd.gguf", Memory(), 0
    for _ in range(2000):
        with path.open("r+b" if path.exists() else "wb") as file:       # in place: quicker than a new one
            file.truncate(file.write(odd_header(rng)))
        seen = known.read(path, memory)
        taken += not seen.problem
        assert len(seen.problem) < 500 and seen.problem.isprintable()
        if facts := seen.facts:
            assert json.dumps(to_json(from_json(json.loads(json.dumps(to_json(facts)))))) == json.dumps(to_json(facts))
            assert all(one.isprintable() for one in (facts.name, facts.architecture, facts.licence, *facts.names))
    assert 300 < taken < 1500


@pytest.mark.parametrize(("content", "words"), [(b"", "only 0 bytes"), (b"hello, this is a text file", "no GGUF"),
                                                (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version 9"),
                                                (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "of version 1; "),
                                                (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian")])
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
