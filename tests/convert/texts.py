"""Texts that tokenizers disagree about, and a GGUF of a vocabulary alone to try them on."""

import random
from collections.abc import Sequence
from pathlib import Path

import gguf

from convert.gguf import ADDERS
from convert.vocab import Vocab
from runtime.config import LoadConfig
from runtime.llama import Model

ALPHABETS = [
    [chr(k) for k in range(32, 127)],
    list("etaoin shrdlu ETAOIN  SHRDLU,.'\n"),
    list("0123456789 ,.-/%"),
    ["'s", "'S", "'re", "'LL", "n't", "I", "we", " ", "'", "\u2019s"],
    [" ", "  ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u3000", "\u2003", "\u2028", "x", "."],
    [chr(k) for k in range(0xA1, 0x250)],
    [chr(k) for k in range(0x391, 0x530)],
    [chr(k) for k in [*range(0x5D0, 0x5EB), *range(0x621, 0x64B), 0x20, 0x200F]],
    [chr(k) for k in [*range(0x905, 0x93A), *range(0x93E, 0x94E), 0x20]],
    [chr(k) for k in [*range(0x3041, 0x3097), *range(0x30A1, 0x30FB), *range(0x4E00, 0x4F00), 0x3002]],
    [chr(k) for k in range(0xAC00, 0xAD00)],
    ["\U0001f600", "\U0001f469", "\u200d", "\U0001f4bb", "\U0001f3fd", "\ufe0f", "\U0001f1e9", "\U0001f1ea", "a"],
    [chr(k) for k in range(1, 32)],
    ["mg", "\u03bc", "g", "/", "kg", " ", "\u2265", "\u00b0", "C", "\u00b1", "5", "\u00bd", "\u2082"],
    ["<", ">", "|", "bos", "/s", "unk", "start_of_turn", "<0x0A>", "im_start", "\\n", "[", "]"],
]


def random_texts(count: int = 1000, seed: int = 4) -> list[str]:
    """Texts of 0 to 60 parts: each of one or two alphabets, every tenth of any assigned character at all."""
    draw = random.Random(seed)
    anything = [chr(k) for k in range(1, 0x30000) if is_text(k)]
    texts = []
    for k in range(count):
        alphabet = anything if k % 10 == 0 else [*draw.choice(ALPHABETS), *draw.choice(ALPHABETS)]
        texts.append("".join(draw.choices(alphabet, k=draw.randrange(60))))
    return texts


def is_text(code: int) -> bool:
    """Not half of a pair, not private, and no mark for a space: nobody types U+2581."""
    return not (0xD800 <= code < 0xF900 or code == 0x2581)


def write_vocab(path: Path, vocab: Vocab) -> Path:
    """A GGUF of the vocabulary alone, as convert/gguf.py writes its keys."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in vocab.metadata().items():
        getattr(writer, ADDERS[type(value)])(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path


def open_vocab(path: Path, vocab: Vocab) -> Model:
    """The vocabulary as llama.cpp reads it back."""
    return Model(write_vocab(path, vocab), LoadConfig(threads=1), vocab_only=True)


def differences(model: Model, encode, texts: Sequence[str]) -> list[tuple[str, list[int], list[int]]]:
    """(text, ids of the file, ids of encode) wherever they differ."""
    pairs = [(text, model.encode(text, control=False), encode(text)) for text in texts]
    return [pair for pair in pairs if pair[1] != pair[2]]
