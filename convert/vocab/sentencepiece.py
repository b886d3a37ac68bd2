"""The pieces in a tokenizer.model, read without the library that wrote it.

Source: sentencepiece_model.proto (google/sentencepiece), whose piece types have the numbers of llama.cpp's.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.vocab.tokens import BYTE, NORMAL
from models.errors import UserError

PIECES, TRAINER, NORMALIZER = 1, 2, 3                           # fields of ModelProto
TEXT, SCORE, TYPE = 1, 2, 3                                     # of a piece
KIND, IS_SUFFIX = 3, 24                                         # of the trainer's settings
CHARACTER_MAP, HAS_PREFIX, IS_ESCAPED = 2, 3, 5                 # of the normalizer's
UNIGRAM, BY_MERGES = 1, 2                                       # kinds of model
KINDS = {UNIGRAM: "unigram", 3: "word", 4: "character"}


@dataclass(frozen=True)
class Pieces:
    """(text, score, type) of each piece; has_prefix: a space is put before a text."""
    rows: list[tuple[str, float, int]]
    has_prefix: bool


def read_pieces(path: Path) -> Pieces:
    """The pieces of a SentencePiece model.

    Raises UserError if the file is damaged, or works in a way that llama.cpp does not compute.
    """
    rows, parts = [], {TRAINER: b"", NORMALIZER: b""}
    try:
        for number, value in _fields(path.read_bytes()):
            if number == PIECES:
                rows.append(_piece(dict(_fields(value))))
            elif number in parts:
                parts[number] += value                          # a message in two parts is one message
        trainer, normalizer = dict(_fields(parts[TRAINER])), dict(_fields(parts[NORMALIZER]))
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error):
        raise UserError(f"{path} is no whole SentencePiece model; copy it from the original model again.") from None
    if not rows:
        raise UserError(f"{path} holds no pieces; copy it from the original model again.")
    _refuse_other_ways(path, trainer, normalizer)
    return Pieces(rows, has_prefix=bool(normalizer.get(HAS_PREFIX, True)))


def _piece(fields: dict[int, Any]) -> tuple[str, float, int]:
    score = struct.unpack("<f", fields[SCORE])[0] if SCORE in fields else 0.0
    if not math.isfinite(score):
        raise ValueError("a score is no number")
    kind = fields.get(TYPE, NORMAL)
    if kind not in range(NORMAL, BYTE + 1):
        raise ValueError("a piece is of no known type")
    return fields[TEXT].decode("utf-8"), score, kind


def _refuse_other_ways(path: Path, trainer: dict[int, Any], normalizer: dict[int, Any]) -> None:
    kind = trainer.get(KIND, UNIGRAM)
    if kind != BY_MERGES:
        raise UserError(f"{path} is a SentencePiece model of the kind {KINDS.get(kind, kind)}; "
                        "llama.cpp computes BPE for the models that Galen exports.")
    if normalizer.get(CHARACTER_MAP):
        raise UserError(f"{path} changes characters before it cuts them (a character map in its normalizer); "
                        "llama.cpp would not, and count other tokens.")
    if trainer.get(IS_SUFFIX) or not normalizer.get(IS_ESCAPED, True):
        raise UserError(f"{path} does not write a space as the beginning of a piece; "
                        "llama.cpp would, and count other tokens.")


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value) of a protocol buffer: int for varints, bytes for everything else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}[kind]
        if at + length > len(data):
            raise ValueError("a field ends beyond the file")
        yield tag >> 3, data[at:at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number has no end")
