"""The vocabulary of one GGUF: its tokens with scores, types and merges, and the keys that they are written under."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gguf

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6     # llama.cpp's and SentencePiece's numbers
ADDED_SCORE, PADDING_SCORE = -1000.0, -10000.0
KEYS = gguf.Keys.Tokenizer
ID_KEYS = {"bos": KEYS.BOS_ID, "eos": KEYS.EOS_ID, "unk": KEYS.UNK_ID, "sep": KEYS.SEP_ID, "pad": KEYS.PAD_ID,
           "mask": KEYS.MASK_ID, "eot": KEYS.EOT_ID}
ADD_KEYS = {"bos": KEYS.ADD_BOS, "eos": KEYS.ADD_EOS, "sep": KEYS.ADD_SEP}


def wants_bos(model: str, pre: str, adds: Mapping[str, bool]) -> bool:
    """As llama.cpp takes it: what the file says, else by the kind of tokenizer."""
    return adds.get("bos", model == "llama" or pre == "llama-bpe")


@dataclass(frozen=True, kw_only=True)
class Vocab:
    """What goes into tokenizer.*; also a tasks.prompt.Tokenizer as far as control strings go.

    model, pre: llama.cpp's names of the way a text becomes tokens; pre "" is not written.
    scores or merges is empty, as the model wants it. has_prefix: None leaves it to the model's own way.
    left_out: tokens whose ids lie beyond the embedding's rows.
    """
    tokens: list[str]
    scores: list[float]
    types: list[int]
    special_ids: dict[str, int]         # by the names in ID_KEYS; "eot" ends a model turn where "eos" does not
    template: str
    left_out: tuple[str, ...] = ()
    model: str = "llama"
    pre: str = "default"
    merges: list[str] = field(default_factory=list)
    adds: dict[str, bool] = field(default_factory=dict)     # by the names in ADD_KEYS: put around a text or not
    has_prefix: bool | None = None      # a space is put before a text

    @property
    def bos(self) -> str:
        """"" for a model that wants none."""
        is_wanted = wants_bos(self.model, self.pre, self.adds) and "bos" in self.special_ids
        return self.tokens[self.special_ids["bos"]] if is_wanted else ""

    @property
    def eos(self) -> str:
        return self.tokens[self.special_ids["eos"]]

    @property
    def controls(self) -> frozenset[str]:
        return frozenset(t for t, kind in zip(self.tokens, self.types, strict=True) if kind == CONTROL)

    def encode(self, text: str, *, control: bool) -> list[int]:
        """The id of one control string; plain text is for the engines."""
        if not control or text not in self.controls:
            raise ValueError(f"{text!r} is no control string")
        return [self.tokens.index(text)]

    def metadata(self) -> dict[str, Any]:
        """Every tokenizer key and its value, in the order of llama.cpp's own converter."""
        keys: dict[str, Any] = {KEYS.MODEL: self.model}
        if self.pre:
            keys[KEYS.PRE] = self.pre
        keys[KEYS.LIST] = self.tokens
        if self.scores:
            keys[KEYS.SCORES] = self.scores
        keys[KEYS.TOKEN_TYPE] = self.types
        if self.merges:
            keys[KEYS.MERGES] = self.merges
        keys |= {ID_KEYS[name]: token for name, token in self.special_ids.items()}
        keys |= {ADD_KEYS[name]: value for name, value in self.adds.items()}
        if self.template:
            keys[KEYS.CHAT_TEMPLATE] = self.template
        if self.has_prefix is not None:
            keys[KEYS.ADD_PREFIX] = self.has_prefix
        return keys
