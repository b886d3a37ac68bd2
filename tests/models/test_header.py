"""GGUF headers: read right, and refused clearly when they are not whole."""

import random
import struct

import gguf
import numpy as np
import pytest

from models.errors import UserError
from models.header import fingerprint, read_header


@pytest.fixture
def small_gguf(tmp_path):
    path = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_name("Small one")
    writer.add_context_length(2048)
    writer.add_chat_template("{{ messages }}")
    writer.add_array("tokenizer.ggml.tokens", [f"t{k}" for k in range(500)])
    writer.add_array("some.flags", [1, 2, 3])
    writer.add_tensor("token_embd.weight", np.ones((500, 64), np.float32))
    writer.add_tensor("q.weight", np.zeros((64, 34), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_reads_what_the_library_wrote(small_gguf):
    header = read_header(small_gguf)
    assert (header.architecture, header.name, header.ctx_tokens) == ("gemma3", "Small one", 2048)
    assert header.template == "{{ messages }}" and header.type_name == "F32"
    assert len(header.metadata["tokenizer.ggml.tokens"]) == 500 and header.metadata["some.flags"] == [1, 2, 3]
    assert header.parameters == 500 * 64 + 64 * 32
    theirs = {t.name: (t.data_offset, t.n_bytes) for t in gguf.GGUFReader(small_gguf).tensors}
    assert {t.name: (t.offset, t.bytes) for t in header.tensors} == theirs


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
