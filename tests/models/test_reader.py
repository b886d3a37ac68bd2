"""A hostile header costs neither much time nor much memory, and is refused in a sentence."""

import os
import random
import struct
import threading
import tracemalloc

import pytest

from models.errors import UserError
from models.header import read_header
from models.reader import MAX_HEADER, Memory
from tests.models.test_header import write
from tests.runtime.mutated import mutants

HOLE = 40 << 30                 # what a large model takes: a length can lie within it
PEAK = 3 * MAX_HEADER           # bytes: the header and a copy of it while it grows


def key(name, kind, value):
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


def claims(path, *keys, tensors=0, count=None):
    """A file with a header of these keys and a hole behind it."""
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, tensors, len(keys) if count is None else count) + b"".join(keys))
        file.truncate(HOLE)
    return path


NAMED = key("general.architecture", 8, struct.pack("<Q", 6) + b"gemma3")
CLAIMS = [
    ([key("a", 8, struct.pack("<Q", 30 << 30))], {}, "it holds a text of 32,212,254,720 bytes"),
    ([key("a", 8, struct.pack("<Q", 2**64 - 1))], {}, "its header does not end within its"),
    ([key("a", 9, struct.pack("<IQ", 8, 500_000))], {}, "names no architecture"),
    ([key("a", 9, struct.pack("<IQ", 8, 1 << 40))], {}, "it claims 1,099,511,627,776 array items"),
    ([key("a", 9, struct.pack("<IQ", 10, 4_000_000))] * 3, {}, "one of its keys has no name"),
    ([key(f"a{k}", 9, struct.pack("<IQ", 10, 4_000_000) + bytes(32_000_000)) for k in range(3)], {},
     "its header does not end within 67,108,864 bytes"),
    ([key("tokenizer.ggml.tokens", 9, struct.pack("<IQQ", 8, 3, 20 << 30))], {},
     "its header does not end within 67,108,864 bytes"),
    ([key("tokenizer.ggml.tokens", 9, struct.pack("<IQQ", 8, 3, 2**63 + 5))], {}, "is cut short"),
    ([struct.pack("<Q", 20 << 30)], {}, "it holds a text of 21,474,836,480 bytes"),
    ([], {"count": 1 << 50}, "it claims 1,125,899,906,842,624 keys"),
    ([NAMED], {"tensors": 1 << 40}, "it claims 1,099,511,627,776 tensors"),
    ([NAMED], {"tensors": 1 << 17}, "a tensor is named ''"),
    ([NAMED, key("a", 9, struct.pack("<IQ", 9, 5))], {}, "holds items of the type 9"),
    ([NAMED, *(key(f"a{k}", 9, struct.pack("<IQ", 8, 500) + bytes(4000)) for k in range(200))], {},
     "its lists hold more than 65,536 items"),
    ([NAMED, key("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 4_000_000))], {},
     "it claims a vocabulary of 4,000,000 pieces"),
    ([NAMED], {"tensors": 1 << 18}, "it claims 262,144 tensors"),
]


@pytest.mark.parametrize(("keys", "counts", "words"), CLAIMS)
def test_large_claims_cost_little(tmp_path, keys, counts, words):
    path = claims(tmp_path / "big.gguf", *keys, **counts)
    tracemalloc.start()
    try:
        for memory in (None, Memory()):
            with pytest.raises(UserError, match=words):
                read_header(path, memory)
        assert tracemalloc.get_traced_memory()[1] < PEAK
    finally:
        tracemalloc.stop()


def test_mutated_headers_end_in_a_header_or_a_sentence_in_little_memory(tmp_path):
    whole = write(tmp_path / "whole.gguf", tokenizer__ggml__tokens=[f"t{k}" for k in range(600)],
                  tokenizer__ggml__token_type=[1] * 598 + [3, 4]).read_bytes()
    path, refused, memory = tmp_path / "mutant.gguf", 0, Memory()
    path.write_bytes(whole)
    tracemalloc.start()
    try:
        for mutant in mutants([whole], 8):
            if mutant.name.startswith("truncation"):
                path.write_bytes(mutant.data)
            else:
                with path.open("r+b") as file:
                    file.write(mutant.data)
            for known in (None, memory):
                try:
                    assert read_header(path, known).architecture
                except UserError as error:
                    refused += 1
                    assert path.name in str(error) and len(str(error)) < 400
            if mutant.name.startswith("truncation"):
                path.write_bytes(whole)
        assert tracemalloc.get_traced_memory()[1] < PEAK
    finally:
        tracemalloc.stop()
    assert 250 < refused < 600


def test_a_scan_reads_of_each_file_what_the_reader_of_one_reads(tmp_path):
    memory, random_ = Memory(), random.Random(3)
    for number in range(12):
        words = [f"w{k}" for k in range(700 if number else 600)]       # the first one's begin all others
        if number % 3 == 2:
            words[random_.randrange(600)] = "x" * random_.randrange(1, 9)
        path = write(tmp_path / f"{number}.gguf", tokenizer__ggml__tokens=words, general__name=f"model {number}",
                     tokenizer__ggml__token_type=[1] * len(words))
        alone, scanned = read_header(path), read_header(path, memory)
        assert scanned.metadata == alone.metadata and scanned.tensors == alone.tensors


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes with a name")
    os.mkfifo(tmp_path / "pipe.gguf")
    done = threading.Event()

    def read():
        with pytest.raises(UserError, match="is no file, not a GGUF file"):
            read_header(tmp_path / "pipe.gguf")
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(60)


def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path, demo_gguf):
    from models.reader import Reader
    path = tmp_path / "cut.gguf"
    path.write_bytes(demo_gguf.read_bytes()[:60_000])
    with path.open("rb") as file, pytest.raises(UserError, match="cut short"):
        Reader(path, file, demo_gguf.stat().st_size).keys()


def test_files_with_lists_of_their_own_do_not_fill_the_memory(tmp_path):
    memory, words = Memory(), struct.pack("<IQ", 8, 600) + (struct.pack("<Q", 100) + b"w" * 100) * 600
    for number in range(40):
        read_header(claims(tmp_path / "x.gguf", NAMED, key(f"list{number}", 9, words)), memory)
    assert sum(len(one.raw) for lists in memory.lists.values() for one in lists) < 5 * len(words)
